/** Hands over pictures that are dropped on `target`, pasted into the page or chosen by file. */
export function acceptPictures(
  target: HTMLElement,
  chooser: HTMLButtonElement,
  file: HTMLInputElement,
  onPicture: (picture: File) => void,
): void {
  const take = (files: FileList | null | undefined) => {
    const picture = [...(files ?? [])].find(({ type }) => type.startsWith('image/'));
    if (picture !== undefined) onPicture(picture);
  };
  chooser.addEventListener('click', () => file.click());
  file.addEventListener('change', () => {
    take(file.files);
    file.value = ''; // The same file may be chosen again.
  });
  document.addEventListener('paste', (event) => take(event.clipboardData?.files));
  // Anywhere in the page: a picture dropped beside the paper must not replace the page.
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    target.classList.add('is-target');
  });
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) target.classList.remove('is-target');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    target.classList.remove('is-target');
    take(event.dataTransfer?.files);
  });
}
