// Linear algebra for the scene. Matrices are column-major arrays of 16, as in WebGL.

export function multiply(a, b) {
  const out = new Float32Array(16);
  for (let column = 0; column < 4; column += 1) {
    for (let row = 0; row < 4; row += 1) {
      let sum = 0;
      for (let k = 0; k < 4; k += 1) sum += a[k * 4 + row] * b[column * 4 + k];
      out[column * 4 + row] = sum;
    }
  }
  return out;
}

/** Rotation by yaw (about y) after pitch (about x), rad, with a translation in m. */
export function placed([x, y, z], yaw = 0, pitch = 0) {
  const [c, s, p, q] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return new Float32Array([c, 0, -s, 0, s * q, p, c * q, 0, s * p, -q, c * p, 0, x, y, z, 1]);
}

/** Scales the unit cube (-1/2 to 1/2) to this size and moves it to this centre, m. */
export function box([x, y, z], [width, height, depth]) {
  return new Float32Array([width, 0, 0, 0, 0, height, 0, 0, 0, 0, depth, 0, x, y, z, 1]);
}

/** Direction of a view's -z as an angle about y from straight ahead, rad. */
export function heading(matrix) {
  return Math.atan2(matrix[8], matrix[10]);
}

/** The shortest rotation from one angle to another, -pi .. pi. */
export function turn(from, to) {
  return Math.atan2(Math.sin(to - from), Math.cos(to - from));
}
