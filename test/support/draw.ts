import type { Page } from 'playwright-core';

/** Draws a seven on the demo page's canvas, with the mouse. */
export async function drawSeven(page: Page): Promise<void> {
  const canvas = page.locator('#canvas');
  await canvas.scrollIntoViewIfNeeded();
  const box = await canvas.boundingBox();
  if (box === null) throw new Error('Expected the canvas to be on screen');
  const to = (x: number, y: number) =>
    page.mouse.move(box.x + box.width * x, box.y + box.height * y, { steps: 8 });
  await to(0.3, 0.25);
  await page.mouse.down();
  await to(0.7, 0.25);
  await to(0.45, 0.8);
  await page.mouse.up();
}
