import { float32Tensor, type ImagePreprocess, MeshError, type Tensor } from '@nearfar/protocol';

/** A decoded picture: 8-bit RGBA, row-major, not premultiplied. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** One plane of values from 0 to 255. */
interface Plane {
  readonly width: number;
  readonly height: number;
  readonly values: Float64Array;
}

/**
 * Turns any picture into the model's tensor, in double precision and without the platform's own scaling, so that Node
 * and every browser give the same numbers:
 *
 * 1. composite over white; 2. luminance (ITU-R BT.601) or the three channels; 3. invert, when asked or when `auto`
 * finds the border brighter than half; 4. crop to what is brighter than `trim`; 5. resize by area averaging, the
 * longer side to `boxSize` (absent: stretch to width × height); 6. place on a black canvas by the middle or the
 * centre of mass; 7. (v / 255 − mean) / std.
 *
 * A picture that already has the model's size skips 4 to 6.
 */
export function imageToTensor(pixels: Pixels, rule: ImagePreprocess): Tensor {
  const { width, height } = pixels;
  if (width < 1 || height < 1 || pixels.data.length !== width * height * 4) {
    throw new MeshError(
      'MESH_BAD_MEDIA',
      `Expected ${width}×${height} RGBA pixels, got ${pixels.data.length} bytes`,
    );
  }
  let planes = channelPlanes(pixels, rule.channels);
  if (rule.invert === 'always' || (rule.invert === 'auto' && borderMean(planes) > 127.5)) {
    planes = planes.map(inverted);
  }
  if (width !== rule.width || height !== rule.height) planes = fit(planes, rule);
  return normalise(planes, rule);
}

function channelPlanes({ width, height, data }: Pixels, channels: ImagePreprocess['channels']): Plane[] {
  const count = width * height;
  const planes = Array.from({ length: channels === 'rgb' ? 3 : 1 }, () => new Float64Array(count));
  const [red, green, blue] = planes;
  for (let pixel = 0; pixel < count; pixel += 1) {
    const offset = pixel * 4;
    const alpha = (data[offset + 3] ?? 255) / 255;
    const white = 255 * (1 - alpha);
    const r = (data[offset] ?? 0) * alpha + white;
    const g = (data[offset + 1] ?? 0) * alpha + white;
    const b = (data[offset + 2] ?? 0) * alpha + white;
    if (red !== undefined && green !== undefined && blue !== undefined) {
      red[pixel] = r;
      green[pixel] = g;
      blue[pixel] = b;
    } else if (red !== undefined) {
      red[pixel] = 0.299 * r + 0.587 * g + 0.114 * b;
    }
  }
  return planes.map((values) => ({ width, height, values }));
}

function borderMean(planes: readonly Plane[]): number {
  let sum = 0;
  let count = 0;
  for (const { width, height, values } of planes) {
    for (let y = 0; y < height; y += 1) {
      const isEdgeRow = y === 0 || y === height - 1;
      const step = isEdgeRow || width === 1 ? 1 : width - 1;
      for (let x = 0; x < width; x += step) {
        sum += values[y * width + x] ?? 0;
        count += 1;
      }
    }
  }
  return sum / count;
}

function inverted({ width, height, values }: Plane): Plane {
  return { width, height, values: values.map((value) => 255 - value) };
}

interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

function fit(planes: readonly Plane[], rule: ImagePreprocess): Plane[] {
  const box = rule.trim === undefined ? wholeBox(planes) : brightBox(planes, rule.trim);
  const size = fittedSize(box, rule);
  const resized = planes.map((plane) => areaResize(plane, box, size.width, size.height));
  const offset = rule.center === 'mass' ? massOffset(resized, rule) : middleOffset(size, rule);
  return resized.map((plane) => place(plane, offset, rule.width, rule.height));
}

function wholeBox(planes: readonly Plane[]): Box {
  return { left: 0, top: 0, width: planes[0]?.width ?? 0, height: planes[0]?.height ?? 0 };
}

/** Smallest box around every pixel brighter than `trim` in any plane; the whole picture when there is none. */
function brightBox(planes: readonly Plane[], trim: number): Box {
  const whole = wholeBox(planes);
  let left = whole.width;
  let right = -1;
  let top = whole.height;
  let bottom = -1;
  for (const { width, height, values } of planes) {
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        if ((values[y * width + x] ?? 0) <= trim) continue;
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y);
      }
    }
  }
  return right < 0 ? whole : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function fittedSize(box: Box, rule: ImagePreprocess): { width: number; height: number } {
  const { boxSize } = rule;
  if (boxSize === undefined) return { width: rule.width, height: rule.height };
  const longer = Math.max(box.width, box.height);
  const scaled = (side: number) => Math.max(1, Math.round((side * boxSize) / longer));
  return { width: scaled(box.width), height: scaled(box.height) };
}

/** Averages, for each target pixel, exactly the source area that it covers. Separable: columns, then rows. */
function areaResize(plane: Plane, box: Box, width: number, height: number): Plane {
  const columns = coverage(box.left, box.width, width);
  const rows = coverage(box.top, box.height, height);
  const narrowed = new Float64Array(box.height * width);
  for (let y = 0; y < box.height; y += 1) {
    const source = (box.top + y) * plane.width;
    for (let x = 0; x < width; x += 1) {
      let sum = 0;
      for (const { index, weight } of columns[x] ?? []) sum += (plane.values[source + index] ?? 0) * weight;
      narrowed[y * width + x] = sum;
    }
  }
  const values = new Float64Array(width * height);
  for (let y = 0; y < height; y += 1) {
    for (const { index, weight } of rows[y] ?? []) {
      const source = (index - box.top) * width;
      for (let x = 0; x < width; x += 1) {
        const target = y * width + x;
        values[target] = (values[target] ?? 0) + (narrowed[source + x] ?? 0) * weight;
      }
    }
  }
  return { width, height, values };
}

interface Cover {
  readonly index: number;
  readonly weight: number;
}

/** Which source pixels each of `target` pixels covers, and with what share; shares of one target sum to 1. */
function coverage(start: number, source: number, target: number): Cover[][] {
  const step = source / target;
  return Array.from({ length: target }, (_, position) => {
    const from = position * step;
    const to = Math.min(source, (position + 1) * step);
    const covers: Cover[] = [];
    for (let index = Math.floor(from); index < to; index += 1) {
      const overlap = Math.min(to, index + 1) - Math.max(from, index);
      if (overlap > 0) covers.push({ index: start + index, weight: overlap / (to - from) });
    }
    return covers;
  });
}

function middleOffset(
  size: { width: number; height: number },
  rule: ImagePreprocess,
): { x: number; y: number } {
  return { x: Math.floor((rule.width - size.width) / 2), y: Math.floor((rule.height - size.height) / 2) };
}

/** Puts the centre of mass in the canvas's middle, without letting the picture leave the canvas. */
function massOffset(planes: readonly Plane[], rule: ImagePreprocess): { x: number; y: number } {
  let mass = 0;
  let xMoment = 0;
  let yMoment = 0;
  const { width, height } = planes[0] ?? { width: 0, height: 0 };
  for (const { values } of planes) {
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const value = values[y * width + x] ?? 0;
        mass += value;
        xMoment += value * x;
        yMoment += value * y;
      }
    }
  }
  if (mass === 0) return middleOffset({ width, height }, rule);
  const offset = (canvas: number, centre: number, size: number) => {
    const wanted = Math.floor((canvas - 1) / 2 - centre + 0.5);
    return Math.min(Math.max(0, canvas - size), Math.max(0, wanted));
  };
  return { x: offset(rule.width, xMoment / mass, width), y: offset(rule.height, yMoment / mass, height) };
}

function place(plane: Plane, offset: { x: number; y: number }, width: number, height: number): Plane {
  const values = new Float64Array(width * height);
  for (let y = 0; y < plane.height; y += 1) {
    const row = y + offset.y;
    if (row < 0 || row >= height) continue;
    for (let x = 0; x < plane.width; x += 1) {
      const column = x + offset.x;
      if (column >= 0 && column < width)
        values[row * width + column] = plane.values[y * plane.width + x] ?? 0;
    }
  }
  return { width, height, values };
}

function normalise(planes: readonly Plane[], rule: ImagePreprocess): Tensor {
  const pixels = rule.width * rule.height;
  const values = new Float32Array(pixels * planes.length);
  for (const [channel, plane] of planes.entries()) {
    const mean = rule.mean[channel] ?? rule.mean[0] ?? 0;
    const std = rule.std[channel] ?? rule.std[0] ?? 1;
    for (let pixel = 0; pixel < pixels; pixel += 1) {
      const target = rule.layout === 'NCHW' ? channel * pixels + pixel : pixel * planes.length + channel;
      values[target] = ((plane.values[pixel] ?? 0) / 255 - mean) / std;
    }
  }
  const shape =
    rule.layout === 'NCHW'
      ? [1, planes.length, rule.height, rule.width]
      : [1, rule.height, rule.width, planes.length];
  return float32Tensor(rule.input, shape, values);
}
