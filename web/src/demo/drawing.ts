/** Paper to draw on: dark ink on white, in both colour schemes, since the models expect a picture. */
export interface Drawing {
  /** Whether nothing was drawn or shown since the last `clear`. */
  readonly isEmpty: boolean;
  clear(): void;
  /** Shows a picture instead of a drawing, as large as it fits. */
  show(picture: ImageBitmap): void;
}

const PAPER = '#ffffff';
const INK = '#101418';

/** Makes `canvas` drawable by pen, finger or mouse. `onStroke` is called after each stroke. */
export function createDrawing(
  canvas: HTMLCanvasElement,
  brushWidth: () => number,
  onStroke: () => void,
): Drawing {
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) throw new Error('Expected the canvas to have a 2D context');
  let isEmpty = true;
  /** The pointer that draws; others are ignored until it is lifted. */
  let pointer: number | undefined;

  const clear = () => {
    context.fillStyle = PAPER;
    context.fillRect(0, 0, canvas.width, canvas.height);
    isEmpty = true;
  };
  const position = (event: PointerEvent): [number, number] => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * canvas.width,
      ((event.clientY - box.top) / box.height) * canvas.height,
    ];
  };

  canvas.addEventListener('pointerdown', (event) => {
    if (pointer !== undefined || event.button !== 0) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(event.pointerId);
    isEmpty = false;
    context.strokeStyle = INK;
    context.lineWidth = brushWidth();
    context.lineCap = 'round';
    context.lineJoin = 'round';
    context.beginPath();
    context.moveTo(...position(event));
    // A line of no length with round caps is the dot of an "i".
    context.lineTo(...position(event));
    context.stroke();
  });
  canvas.addEventListener('pointermove', (event) => {
    if (event.pointerId !== pointer) return;
    // A browser hands over one event a frame; fast strokes have corners without those between, which only pages of
    // secure origins get (https://www.w3.org/TR/pointerevents3/#pointerevent-interface).
    const between: readonly PointerEvent[] = event.getCoalescedEvents?.() ?? [];
    for (const step of between.length > 0 ? between : [event]) context.lineTo(...position(step));
    context.stroke();
  });
  const lift = (event: PointerEvent) => {
    if (event.pointerId !== pointer) return;
    pointer = undefined;
    onStroke();
  };
  canvas.addEventListener('pointerup', lift);
  canvas.addEventListener('pointercancel', lift);

  clear();
  return {
    get isEmpty() {
      return isEmpty;
    },
    clear,
    show(picture) {
      clear();
      const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
      const width = picture.width * scale;
      const height = picture.height * scale;
      context.imageSmoothingEnabled = scale < 1;
      context.imageSmoothingQuality = 'high';
      context.drawImage(picture, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
      isEmpty = false;
    },
  };
}
