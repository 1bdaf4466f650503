// The operator's view: the panel, axes at each hand, and without passthrough a floor and a camera image. Plain WebGL2.

import { box, heading, multiply, placed, turn } from "/web/matrix.js";

const DISTANCE_M = 1.25;
// width, foot (lower edge above the eyes): m; lean towards the eyes: rad. With passthrough the panel is a little above the line of
// sight, so that it does not cover the robot's table; without, the camera image is there.
const BOARDS = {
  passthrough: { panel: { width: 0.62, foot: -0.03, lean: 0.08 } },
  opaque: { panel: { width: 0.62, foot: -0.52, lean: -0.28 }, camera: { width: 0.95, foot: -0.22, lean: 0.04 } },
};
// The boards stay until the head has turned or moved this far, then follow slowly.
const FOLLOW_TURN = 0.6;
const FOLLOW_M = 0.5;
const FOLLOW_EACH_FRAME = 0.08;

const GREY = [0.62, 0.68, 0.75];
const TONES = { open: GREY, waiting: [0.94, 0.73, 0.32], engaged: [0.39, 0.82, 0.59] };
// x red, y green, z blue.
const AXES = [
  { end: [1, 0, 0], colour: [0.9, 0.36, 0.34] },
  { end: [0, 1, 0], colour: [0.4, 0.78, 0.42] },
  { end: [0, 0, 1], colour: [0.38, 0.56, 0.95] },
];
const AXIS_M = 0.09;
const THICK_M = 0.006;

const VERTEX = `#version 300 es
uniform mat4 matrix;
in vec3 corner;
out vec2 place;
out float shade;
void main() {
  place = vec2(corner.x + 0.5, 0.5 - corner.y);
  shade = 0.8 + 0.4 * corner.y;
  gl_Position = matrix * vec4(corner, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
uniform vec4 colour;
uniform sampler2D image;
uniform bool textured;
in vec2 place;
in float shade;
out vec4 result;
void main() {
  result = textured ? texture(image, place) : vec4(colour.rgb * shade * colour.a, colour.a);
}`;

export class Scene {
  /** gl: an XR-compatible WebGL2 context; opaque: no passthrough, so a floor is drawn. */
  constructor(gl, { opaque }) {
    this.gl = gl;
    this.opaque = opaque;
    this.place = null;
    this.boards = {};
    this.#build();
  }

  /** Sets a board's texture from a canvas or an image. board: panel | camera; shown after its first texture. */
  setTexture(board, source) {
    const gl = this.gl;
    this.boards[board] ??= { ...BOARDS[this.opaque ? "opaque" : "passthrough"][board], texture: texture(gl) };
    this.boards[board].height = (this.boards[board].width * source.height) / source.width;
    gl.bindTexture(gl.TEXTURE_2D, this.boards[board].texture);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, source);
    gl.generateMipmap(gl.TEXTURE_2D);
  }

  /** Moves the boards in front of the operator in the next frame. */
  recenter() {
    this.place = null;
  }

  /** viewer: XRViewerPose; hands: [{matrix, tone}], tone open | waiting | engaged. */
  draw(layer, viewer, hands) {
    const gl = this.gl;
    this.#follow(viewer.transform.matrix);
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
    gl.clearColor(...(this.opaque ? [0.055, 0.066, 0.085, 1] : [0, 0, 0, 0]));
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.program);
    gl.bindVertexArray(this.vertices);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (const view of viewer.views) {
      const { x, y, width, height } = layer.getViewport(view);
      gl.viewport(x, y, width, height);
      const seen = multiply(view.projectionMatrix, view.transform.inverse.matrix);
      if (this.opaque) this.#floor(seen);
      for (const hand of hands) this.#axes(multiply(seen, hand.matrix), TONES[hand.tone] ?? GREY);
      for (const board of Object.values(this.boards)) this.#board(seen, board);
    }
  }

  #follow(head) {
    const yaw = heading(head);
    const goal = [head[12] - Math.sin(yaw) * DISTANCE_M, head[13], head[14] - Math.cos(yaw) * DISTANCE_M];
    this.place ??= { yaw, at: goal, following: false };
    const place = this.place;
    const away = Math.hypot(...goal.map((value, axis) => value - place.at[axis]));
    const off = Math.abs(turn(place.yaw, yaw));
    if (off > FOLLOW_TURN || (off < 0.1 && away > FOLLOW_M)) place.following = true;
    if (!place.following) return;
    place.yaw += FOLLOW_EACH_FRAME * turn(place.yaw, yaw);
    place.at = place.at.map((value, axis) => value + FOLLOW_EACH_FRAME * (goal[axis] - value));
    place.following = off > 0.03 || away > 0.03;
  }

  #axes(at, tone) {
    this.#solid(multiply(at, box([0, 0, 0], [0.024, 0.024, 0.024])), tone);
    for (const { end, colour } of AXES) {
      const centre = end.map((value) => (value * AXIS_M) / 2);
      this.#solid(multiply(at, box(centre, end.map((value) => (value ? AXIS_M : THICK_M)))), tone === GREY ? colour : tone);
    }
  }

  #floor(seen) {
    for (let line = -4; line <= 4; line += 1) {
      const alpha = line === 0 ? 0.5 : 0.22;
      this.#solid(multiply(seen, box([line / 2, 0, 0], [0.008, 0.001, 4])), [0.45, 0.52, 0.62], alpha);
      this.#solid(multiply(seen, box([0, 0, line / 2], [4, 0.001, 0.008])), [0.45, 0.52, 0.62], alpha);
    }
  }

  #solid(matrix, colour, alpha = 1) {
    const gl = this.gl;
    gl.uniformMatrix4fv(this.at.matrix, false, matrix);
    gl.uniform1i(this.at.textured, 0);
    gl.uniform4f(this.at.colour, ...colour, alpha);
    gl.drawArrays(gl.TRIANGLES, 0, 36);
  }

  #board(seen, { width, height, foot, lean, texture }) {
    const { at, yaw } = this.place;
    const gl = this.gl;
    const matrix = multiply(placed([at[0], at[1] + foot + height / 2, at[2]], yaw, lean), box([0, 0, 0], [width, height, 1]));
    gl.uniformMatrix4fv(this.at.matrix, false, multiply(seen, matrix));
    gl.uniform1i(this.at.textured, 1);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.drawArrays(gl.TRIANGLES, 36, 6);
  }

  #build() {
    const gl = this.gl;
    this.program = link(gl);
    this.at = Object.fromEntries(["matrix", "colour", "textured"].map((name) => [name, gl.getUniformLocation(this.program, name)]));
    this.vertices = gl.createVertexArray();
    gl.bindVertexArray(this.vertices);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([...cube(), ...square(0)]), gl.STATIC_DRAW);
    const corner = gl.getAttribLocation(this.program, "corner");
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 3, gl.FLOAT, false, 0, 0);
  }
}

function texture(gl) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  const sharp = gl.getExtension("EXT_texture_filter_anisotropic");
  if (sharp) gl.texParameterf(gl.TEXTURE_2D, sharp.TEXTURE_MAX_ANISOTROPY_EXT, 4);
  return made;
}

function link(gl) {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`WebGL: ${gl.getProgramInfoLog(program)}`);
  return program;
}

const square = (z) => [-0.5, -0.5, z, 0.5, -0.5, z, 0.5, 0.5, z, -0.5, -0.5, z, 0.5, 0.5, z, -0.5, 0.5, z];

/** Six squares: two per axis. */
function cube() {
  const corners = [];
  for (const z of [-0.5, 0.5]) {
    const face = square(z);
    for (const shift of [0, 1, 2]) {
      for (let i = 0; i < face.length; i += 3) {
        for (let axis = 0; axis < 3; axis += 1) corners.push(face[i + ((axis + shift) % 3)]);
      }
    }
  }
  return corners;
}
