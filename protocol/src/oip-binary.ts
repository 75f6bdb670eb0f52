import * as v from 'valibot';
import { MeshError, parseOrThrow } from './errors.ts';
import { LIMITS } from './limits.ts';
import {
  type InferInput,
  type InferRequest,
  type InferResponse,
  inferRequestSchema,
  inferResponseSchema,
} from './oip.ts';
import { checkTensor, type Tensor } from './tensor.ts';
import { tensorFromJson, tensorToJson } from './tensor-json.ts';

/** A request or answer taken apart: its header and its tensors, which are views of the body. */
export interface Decoded<Header> {
  readonly header: Header;
  readonly tensors: readonly Tensor[];
}

/** An encoded body: the parts in order, to be sent without joining them where the transport allows. */
export interface EncodedBody {
  /** Bytes of JSON at the start, or undefined when all of it is JSON. */
  readonly headerBytes: number | undefined;
  readonly parts: readonly Uint8Array[];
  readonly byteLength: number;
}

/**
 * Reads an inference request.
 *
 * @param headerBytes value of `Inference-Header-Content-Length`, or undefined for a JSON body.
 * @throws MeshError `MESH_BAD_REQUEST`, `MESH_BAD_BINARY_BODY` or `MESH_BAD_TENSOR`.
 */
export function decodeInferRequest(body: Uint8Array, headerBytes?: number): Decoded<InferRequest> {
  const { json, payload } = split(body, headerBytes);
  const header = parseOrThrow(inferRequestSchema, json, 'MESH_BAD_REQUEST', 'inference request');
  return { header, tensors: readTensors(header.inputs, payload) };
}

/** Reads an inference answer; the mirror of `encodeInferResponse`. */
export function decodeInferResponse(body: Uint8Array, headerBytes?: number): Decoded<InferResponse> {
  const { json, payload } = split(body, headerBytes);
  const header = parseOrThrow(inferResponseSchema, json, 'MESH_BAD_REQUEST', 'inference answer');
  return { header, tensors: readTensors(header.outputs, payload) };
}

/** Writes an inference request with every tensor in binary form. */
export function encodeInferRequest(
  header: Omit<InferRequest, 'inputs'>,
  tensors: readonly Tensor[],
): EncodedBody {
  return encode(
    { ...header, inputs: tensors.map(describe) },
    tensors.map((tensor) => tensor.data),
  );
}

/**
 * Writes an inference answer.
 *
 * @param isBinary which tensors go as raw bytes; the others are put into the JSON.
 */
export function encodeInferResponse(
  header: Omit<InferResponse, 'outputs'>,
  tensors: readonly Tensor[],
  isBinary: (name: string) => boolean,
): EncodedBody {
  const outputs = tensors.map((tensor) =>
    isBinary(tensor.name)
      ? describe(tensor)
      : { name: tensor.name, shape: tensor.shape, datatype: tensor.datatype, data: tensorToJson(tensor) },
  );
  const raw = tensors.filter((tensor) => isBinary(tensor.name)).map((tensor) => tensor.data);
  const encoded = encode({ ...header, outputs }, raw);
  return raw.length === 0 ? { ...encoded, headerBytes: undefined } : encoded;
}

/** Joins an encoded body into one buffer, for transports that take only one. */
export function joinBody(body: EncodedBody): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(body.byteLength);
  let offset = 0;
  for (const part of body.parts) {
    joined.set(part, offset);
    offset += part.byteLength;
  }
  return joined;
}

function describe(tensor: Tensor) {
  return {
    name: tensor.name,
    shape: [...tensor.shape],
    datatype: tensor.datatype,
    parameters: { binary_data_size: tensor.data.byteLength },
  };
}

function encode(header: unknown, raw: readonly Uint8Array[]): EncodedBody {
  const json = new TextEncoder().encode(JSON.stringify(header));
  // JSON may end in spaces; padding it to 8 bytes lets the reader view the tensors without copying them.
  const padded = new Uint8Array(Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  padded.set(json);
  const byteLength = raw.reduce((sum, part) => sum + part.byteLength, padded.byteLength);
  return { headerBytes: padded.byteLength, parts: [padded, ...raw], byteLength };
}

function split(body: Uint8Array, headerBytes: number | undefined): { json: unknown; payload: Uint8Array } {
  if (headerBytes === undefined && body.byteLength === 0) {
    throw new MeshError('MESH_BAD_REQUEST', 'Expected a JSON body, got an empty one');
  }
  if (headerBytes !== undefined && (!Number.isSafeInteger(headerBytes) || headerBytes < 2)) {
    throw new MeshError(
      'MESH_BAD_BINARY_BODY',
      `Expected the JSON header length to be a whole number from 2, got ${headerBytes}`,
    );
  }
  if (headerBytes !== undefined && headerBytes > LIMITS.maxHeaderBytes) {
    throw new MeshError(
      'MESH_BAD_BINARY_BODY',
      `Expected a JSON header of at most ${LIMITS.maxHeaderBytes} bytes, got ${headerBytes}`,
    );
  }
  const jsonBytes = headerBytes ?? body.byteLength;
  if (jsonBytes > body.byteLength) {
    throw new MeshError(
      'MESH_BAD_BINARY_BODY',
      `Expected ${jsonBytes} bytes of JSON header, but the body has only ${body.byteLength} bytes`,
    );
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body.subarray(0, jsonBytes));
    return { json: JSON.parse(text), payload: body.subarray(jsonBytes) };
  } catch (cause) {
    throw new MeshError(
      'MESH_BAD_REQUEST',
      `Expected a JSON ${headerBytes === undefined ? 'body' : 'header'}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function readTensors(entries: readonly InferInput[], payload: Uint8Array): Tensor[] {
  let offset = 0;
  const tensors = entries.map((entry) => {
    const { name, datatype, shape } = entry;
    const size = entry.parameters?.binary_data_size;
    if (size === undefined) {
      if (entry.data === undefined) {
        throw new MeshError(
          'MESH_BAD_TENSOR',
          `Tensor "${name}" has neither "data" nor "parameters.binary_data_size"`,
        );
      }
      return tensorFromJson(name, datatype, shape, entry.data);
    }
    if (entry.data !== undefined) {
      throw new MeshError(
        'MESH_BAD_TENSOR',
        `Tensor "${name}" has both "data" and "parameters.binary_data_size"; send one of them`,
      );
    }
    if (offset + size > payload.byteLength) {
      throw new MeshError(
        'MESH_BAD_BINARY_BODY',
        `Tensor "${name}" announces ${size} bytes, but only ${payload.byteLength - offset} are left in the body`,
      );
    }
    const tensor: Tensor = { name, datatype, shape, data: payload.subarray(offset, offset + size) };
    offset += size;
    checkTensor(tensor);
    return tensor;
  });
  if (offset !== payload.byteLength) {
    throw new MeshError(
      'MESH_BAD_BINARY_BODY',
      `The body has ${payload.byteLength - offset} bytes after its last tensor`,
    );
  }
  return tensors;
}

/** Value of the `Inference-Header-Content-Length` header: a whole number, or undefined when absent. */
export function parseBinaryHeader(value: string | null | undefined): number | undefined {
  if (value === null || value === undefined) return undefined;
  return parseOrThrow(
    v.pipe(v.string(), v.regex(/^\d{1,9}$/, 'Expected a whole number of bytes'), v.transform(Number)),
    value,
    'MESH_BAD_BINARY_BODY',
    'Inference-Header-Content-Length',
  );
}
