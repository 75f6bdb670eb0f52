import { crc32 } from 'node:zlib';
import {
  checkSignature,
  DATATYPES,
  decodeFrame,
  decodeInferRequest,
  encodeFrame,
  encodeInferRequest,
  float32Tensor,
  float32Values,
  joinBody,
  LIMITS,
  MeshError,
  parametersSchema,
  parseOrThrow,
  type Tensor,
  tensorFromJson,
  tensorToJson,
} from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const picture = float32Tensor('image', [1, 2], Float32Array.of(0.5, -1));

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof MeshError) return error.code;
    throw error;
  }
  return 'no error';
}

describe('frame', () => {
  test('comes back as it went, with the tensors as aligned views', () => {
    const bytes = encodeFrame({ message: { type: 'execute-request', requestId: 'r1' }, tensors: [picture] });
    const frame = decodeFrame(bytes);
    expect(frame.message).toEqual({ type: 'execute-request', requestId: 'r1' });
    const [tensor] = frame.tensors as [Tensor];
    expect(Array.from(float32Values(tensor))).toEqual([0.5, -1]);
    expect(tensor.data.buffer).toBe(bytes.buffer);
    expect(tensor.data.byteOffset % 8).toBe(0);
  });

  test('the portable checksum equals zlib', () => {
    const native = encodeFrame({ message: { type: 'x' }, tensors: [picture] }, (bytes, seed) =>
      crc32(bytes, seed),
    );
    expect(encodeFrame({ message: { type: 'x' }, tensors: [picture] })).toEqual(native);
  });

  test('any flipped bit and any cut is refused', () => {
    const bytes = encodeFrame({ message: { type: 'x' }, tensors: [picture] });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (position, bit) => {
        // Bytes 12 to 15 are covered too: the checksum starts at byte 8.
        const damaged = bytes.slice();
        damaged[position] = (damaged[position] ?? 0) ^ (1 << bit);
        expect(codeOf(() => decodeFrame(damaged))).toBe('MESH_BAD_FRAME');
      }),
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (length) => {
        expect(codeOf(() => decodeFrame(bytes.slice(0, length)))).toBe('MESH_BAD_FRAME');
      }),
    );
  });

  test('garbage never does anything but a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 256 }), (bytes) => {
        expect(codeOf(() => decodeFrame(bytes))).toBe('MESH_BAD_FRAME');
      }),
    );
  });
});

describe('inference request', () => {
  test('binary form comes back as views of the body', () => {
    const encoded = encodeInferRequest({ id: 'a', parameters: { slo_ms: 50 } }, [picture]);
    const body = joinBody(encoded);
    const { header, tensors } = decodeInferRequest(body, encoded.headerBytes);
    expect(header).toMatchObject({ id: 'a', parameters: { slo_ms: 50 } });
    expect(tensors[0]?.data.buffer).toBe(body.buffer);
  });

  test('JSON form, flat or nested, gives the same tensor', () => {
    const body = (data: unknown) =>
      new TextEncoder().encode(
        JSON.stringify({ inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 2], data }] }),
      );
    for (const data of [[0.5, -1], [[0.5, -1]]]) {
      expect(decodeInferRequest(body(data)).tensors[0]?.data).toEqual(picture.data);
    }
  });

  test.each([
    [
      'a truncated body',
      (body: Uint8Array, header: number) => decodeInferRequest(body.subarray(0, body.length - 1), header),
      'MESH_BAD_BINARY_BODY',
    ],
    [
      'bytes after the last tensor',
      (body: Uint8Array, header: number) => decodeInferRequest(new Uint8Array([...body, 0]), header),
      'MESH_BAD_BINARY_BODY',
    ],
    [
      'a header longer than the body',
      (body: Uint8Array) => decodeInferRequest(body, body.length + 1),
      'MESH_BAD_BINARY_BODY',
    ],
    [
      'a header that is not JSON',
      (body: Uint8Array) => decodeInferRequest(body.subarray(1), 10),
      'MESH_BAD_REQUEST',
    ],
  ])('refuses %s', (_, run, code) => {
    const encoded = encodeInferRequest({}, [picture]);
    expect(codeOf(() => run(joinBody(encoded), encoded.headerBytes ?? 0))).toBe(code);
  });

  test('says that an empty body should have been JSON', () => {
    expect(() => decodeInferRequest(new Uint8Array(0))).toThrow(
      expect.objectContaining({
        code: 'MESH_BAD_REQUEST',
        message: 'Expected a JSON body, got an empty one',
      }),
    );
    expect(codeOf(() => decodeInferRequest(new Uint8Array(0), 10))).toBe('MESH_BAD_BINARY_BODY');
  });

  test('refuses a shape whose bytes do not fit', () => {
    const body = new TextEncoder().encode(
      JSON.stringify({ inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 3], data: [1, 2] }] }),
    );
    expect(codeOf(() => decodeInferRequest(body))).toBe('MESH_BAD_TENSOR');
  });
});

describe('tensor', () => {
  test.each(DATATYPES.filter((datatype) => !['FP16', 'BF16', 'BYTES', 'BOOL'].includes(datatype)))(
    '%s survives JSON',
    (datatype) => {
      expect(tensorToJson(tensorFromJson('x', datatype, [3], [0, 1, 100]))).toEqual([0, 1, 100]);
    },
  );

  test('BOOL and BYTES survive JSON', () => {
    expect(tensorToJson(tensorFromJson('x', 'BOOL', [2], [true, false]))).toEqual([true, false]);
    expect(tensorToJson(tensorFromJson('x', 'BYTES', [2], ['ä', '']))).toEqual(['ä', '']);
  });

  test.each([
    ['UINT8', 256],
    ['INT8', -129],
    ['INT32', 1.5],
    ['FP32', 'one'],
    ['FP32', null],
    ['FP32', 1e39],
    ['FP32', -3.5e38],
  ] as const)('refuses %s %j', (datatype, value) => {
    expect(codeOf(() => tensorFromJson('x', datatype, [1], [value]))).toBe('MESH_BAD_TENSOR');
  });

  test('takes the largest FP32, and as FP64 what is larger', () => {
    const largest = 3.4028234663852886e38;
    expect(tensorToJson(tensorFromJson('x', 'FP32', [1], [largest]))).toEqual([largest]);
    expect(tensorToJson(tensorFromJson('x', 'FP64', [1], [1e39]))).toEqual([1e39]);
  });

  test('takes data as deep as a shape may be, and refuses any deeper', () => {
    const nested = (depth: number) =>
      JSON.parse(`${'['.repeat(depth)}7${']'.repeat(depth)}`) as readonly unknown[];
    expect(tensorToJson(tensorFromJson('x', 'UINT8', [1], nested(LIMITS.maxRank)))).toEqual([7]);
    for (const depth of [LIMITS.maxRank + 1, 200_000]) {
      expect(codeOf(() => tensorFromJson('x', 'UINT8', [1], nested(depth)))).toBe('MESH_BAD_TENSOR');
    }
  });

  test.each([
    ['an object, however deep', JSON.parse(`${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`)],
    ['a long text', 'x'.repeat(1_000_000)],
  ])('tells in few words that it refuses %s', (_name, value) => {
    expect(() => tensorFromJson('x', 'FP32', [1], [value])).toThrow(
      expect.objectContaining({ code: 'MESH_BAD_TENSOR', message: expect.stringMatching(/^.{1,160}$/) }),
    );
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'says that JSON cannot carry %d, and how to get it',
    (value) => {
      const tensor = float32Tensor('scores', [2], Float32Array.of(1, value));
      expect(() => tensorToJson(tensor)).toThrow(
        expect.objectContaining({
          code: 'MESH_EXECUTION_FAILED',
          message: expect.stringContaining('ask for "binary_data": true'),
        }),
      );
    },
  );

  test.each([
    ['an unknown name', { ...picture, name: 'picture' }],
    ['another datatype', { ...picture, datatype: 'INT32' as const }],
    ['another rank', { ...picture, shape: [2] }],
    ['another fixed dimension', { ...picture, shape: [2, 1] }],
  ])('a signature refuses %s', (_, tensor) => {
    const signature = [{ name: 'image', datatype: 'FP32' as const, shape: [-1, 2] }];
    expect(codeOf(() => checkSignature([picture], signature))).toBe('no error');
    expect(codeOf(() => checkSignature([tensor], signature))).toBe('MESH_BAD_TENSOR');
  });

  test('a signature refuses a name that is sent twice', () => {
    const signature = [{ name: 'image', datatype: 'FP32' as const, shape: [-1, 2] }];
    expect(codeOf(() => checkSignature([picture, picture], signature))).toBe('MESH_BAD_TENSOR');
  });
});

describe('parameters', () => {
  test.each([
    [0, 0],
    [0.99, 0.99],
    [0.99995, 0.9999],
    [1, 0.9999],
  ])('a share of %d that must be on time counts as %d', (share, counted) => {
    expect(parseOrThrow(parametersSchema, { slo_target: share })).toEqual({ slo_target: counted });
  });

  test.each([-0.01, 1.01, Number.NaN])('a share of %d that must be on time is refused', (share) => {
    expect(codeOf(() => parseOrThrow(parametersSchema, { slo_target: share }))).toBe('MESH_BAD_REQUEST');
  });
});
