/**
 * Hands over what is dropped on `target`, pasted into the page or chosen by file: the first picture among the files,
 * else the first file, whose type may be missing or wrong. Whether it is a picture shows when it is read.
 */
export function acceptFiles(
  target: HTMLElement,
  chooser: HTMLButtonElement,
  input: HTMLInputElement,
  onFile: (file: File) => void,
): void {
  const take = (files: FileList | null | undefined) => {
    const given = [...(files ?? [])];
    const file = given.find(({ type }) => type.startsWith('image/')) ?? given[0];
    if (file !== undefined) onFile(file);
  };
  chooser.addEventListener('click', () => input.click());
  input.addEventListener('change', () => {
    take(input.files);
    input.value = ''; // The same file may be chosen again.
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
