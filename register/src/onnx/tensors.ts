import type { GraphProto, ModelProto, NodeProto, TensorProto } from './generated/onnx_pb.ts';

/** A tensor of the file and what to call it in a message. */
export interface NamedTensor {
  readonly tensor: TensorProto;
  /** `initialiser "w"`, `constant "y"`. */
  readonly label: string;
}

/** Every tensor that a model holds: initialisers and attributes, sparse ones and those of inner graphs and functions too. */
export function* tensorsOf(model: ModelProto): Generator<NamedTensor> {
  if (model.graph !== undefined) yield* tensorsOfGraph(model.graph);
  for (const { node, attributeProto } of model.functions) {
    yield* tensorsOfNodes(node);
    for (const { t, tensors } of attributeProto) {
      for (const tensor of t === undefined ? tensors : [t, ...tensors])
        yield { tensor, label: `tensor "${tensor.name}"` };
    }
  }
}

function* tensorsOfGraph({ initializer, sparseInitializer, node }: GraphProto): Generator<NamedTensor> {
  for (const tensor of initializer) yield { tensor, label: `initialiser "${tensor.name}"` };
  for (const { values, indices } of sparseInitializer) {
    for (const tensor of [values, indices]) {
      if (tensor !== undefined) yield { tensor, label: `sparse initialiser "${values?.name ?? ''}"` };
    }
  }
  yield* tensorsOfNodes(node);
}

function* tensorsOfNodes(nodes: readonly NodeProto[]): Generator<NamedTensor> {
  for (const { opType, output, attribute } of nodes) {
    const label = `${opType === 'Constant' ? 'constant' : opType} "${output[0] ?? ''}"`;
    for (const { t, tensors, sparseTensor, sparseTensors, g, graphs } of attribute) {
      for (const tensor of t === undefined ? tensors : [t, ...tensors]) yield { tensor, label };
      for (const sparse of sparseTensor === undefined ? sparseTensors : [sparseTensor, ...sparseTensors]) {
        for (const tensor of [sparse.values, sparse.indices])
          if (tensor !== undefined) yield { tensor, label };
      }
      for (const graph of g === undefined ? graphs : [g, ...graphs]) yield* tensorsOfGraph(graph);
    }
  }
}
