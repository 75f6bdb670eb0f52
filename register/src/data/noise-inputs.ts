import {
  DATATYPE_BYTES,
  type Datatype,
  elementCount,
  MeshError,
  type TensorSignature,
} from '@nearfar/protocol';
import { type InputRows, identityOf } from './input-rows.ts';
import { type Random, randomOfRow } from './seeded-random.ts';

/** Half the range of an exponent's bias, so that floats of 16 bits lie between 2⁻⁴ and 2 in size. */
const EXPONENTS = 4;

/**
 * Rows of noise, for tasks that have neither labelled data nor samples: a standard normal for floats (16-bit ones: any of
 * size 1/8 to 2), any byte for UINT8 and INT8, and 0 or 1 for wider integers and BOOL, which are mostly indexes or switches
 * and stay in range then. Free dimensions are 1.
 *
 * @throws MeshError `MESH_BAD_EVAL_DATA` for an input of BYTES.
 */
export function noiseInputs(inputs: readonly TensorSignature[], count: number, seed: number): InputRows {
  const text = inputs.find(({ datatype }) => datatype === 'BYTES');
  if (text !== undefined) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `There is no noise for input "${text.name}" of BYTES; name "samples" in the manifest`,
    );
  }
  return {
    count,
    identity: identityOf(['noise', inputs, count, seed]),
    inputs: (index) => {
      const random = randomOfRow(seed, index);
      return inputs.map(({ name, datatype, shape }) => {
        const row = shape.map((dimension) => (dimension === -1 ? 1 : dimension));
        return { name, datatype, shape: row, data: noise(datatype, elementCount(row), random) };
      });
    },
  };
}

function noise(datatype: Datatype, count: number, random: Random): Uint8Array {
  const data = new Uint8Array(count * DATATYPE_BYTES[datatype]);
  const view = new DataView(data.buffer);
  const bit = () => (random() < 0.5 ? 0 : 1);
  for (let index = 0; index < count; index += 1) {
    switch (datatype) {
      case 'FP32':
        view.setFloat32(index * 4, normal(random), true);
        break;
      case 'FP64':
        view.setFloat64(index * 8, normal(random), true);
        break;
      case 'FP16':
        view.setUint16(index * 2, smallFloat(random, 10, 15), true);
        break;
      case 'BF16':
        view.setUint16(index * 2, smallFloat(random, 7, 127), true);
        break;
      case 'UINT8':
      case 'INT8':
        data[index] = Math.floor(random() * 256);
        break;
      default:
        // The lowest byte of a little-endian integer.
        data[index * DATATYPE_BYTES[datatype]] = bit();
    }
  }
  return data;
}

/** Box & Muller (Annals of Mathematical Statistics 29, 1958). */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Bits of a 16-bit float: any sign, one of the four exponents up to that of 1, any fraction. */
function smallFloat(random: Random, fractionBits: number, bias: number): number {
  const sign = random() < 0.5 ? 0 : 0x8000;
  const exponent = bias - Math.floor(random() * EXPONENTS);
  return sign | (exponent << fractionBits) | Math.floor(random() * 2 ** fractionBits);
}
