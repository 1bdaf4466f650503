// The little linear algebra that the scene needs. Matrices are column-major arrays of 16, as WebGL takes them.

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

/** Turn by yaw (about y) after pitch (about x), at a place; radians, metres. */
export function placed([x, y, z], yaw = 0, pitch = 0) {
  const [c, s, p, q] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return new Float32Array([c, 0, -s, 0, s * q, p, c * q, 0, s * p, -q, c * p, 0, x, y, z, 1]);
}

/** A box from -1/2 to 1/2 on each axis becomes one of this size, in metres, about this centre. */
export function box([x, y, z], [width, height, depth]) {
  return new Float32Array([width, 0, 0, 0, 0, height, 0, 0, 0, 0, depth, 0, x, y, z, 1]);
}

/** Where a view's -z points, as an angle about y from straight ahead; radians. */
export function heading(matrix) {
  return Math.atan2(matrix[8], matrix[10]);
}

/** The nearest way from one angle to another, in -pi .. pi. */
export function turn(from, to) {
  return Math.atan2(Math.sin(to - from), Math.cos(to - from));
}
