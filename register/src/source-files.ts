/** The files that a manifest speaks of, wherever they are. Paths are relative to the manifest, with `/`. */
export interface SourceFiles {
  /**
   * Size of a file in bytes, or undefined when there is none.
   *
   * Rejects with `MESH_BAD_MANIFEST` when the path leaves the manifest's folder (and the data folder).
   */
  sizeOf(path: string): Promise<number | undefined>;
  /** The whole file. Rejects with `MESH_BAD_MANIFEST`, naming the path, when it cannot be read or leaves the folder. */
  read(path: string): Promise<Uint8Array>;
  /** Paths of all files below a folder, sorted; empty when there is no such folder. */
  list(folder: string): Promise<readonly string[]>;
}
