/** What a generator gives: something made, or why it was left out, in words for the one who registers the model. */
export type Made<Value> =
  | { readonly kind: 'made'; readonly value: Value }
  | { readonly kind: 'left-out'; readonly reason: string };
