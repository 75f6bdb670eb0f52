import { DatabaseSync } from 'node:sqlite';
import type { ProfileStore, RegisteredTask, RegistryStore, StoredReport, TaskRecord } from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';

/** Profile reports older than this are forgotten when the store is opened. */
const KEEP_PROFILES_MS = 30 * 24 * 3_600_000;
/** How long a statement waits for another process that is writing. */
const BUSY_WITHIN_MS = 5_000;
const BUSY_PAUSE_MS = 10;
/** SQLite's primary result code (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;
/** And so are all but this many of the newest: pages may report any number of device classes. */
const KEEP_REPORTS = 50_000;

/** SQLite's result code for a disk that is full (https://www.sqlite.org/rescode.html#full). */
const SQLITE_FULL = 13;

/** The registry and the profiles in one SQLite file; each store may be closed by itself, and twice. */
export interface SqliteStores {
  readonly registry: RegistryStore;
  readonly profiles: ProfileStore;
}

/** Opens (or creates) the file at `path`; `now` is the wall time by which old profiles are forgotten. */
export function openSqliteStores(path: string, now: number): SqliteStores {
  const database = new DatabaseSync(path, { timeout: BUSY_WITHIN_MS });
  whenFree(() => database.exec('PRAGMA journal_mode = WAL'));
  database.exec(`
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS tasks (task TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS profiles (
      reporter TEXT, task TEXT, variant TEXT, revision INTEGER, device_class TEXT, batch INTEGER,
      received_at REAL NOT NULL, json TEXT NOT NULL,
      PRIMARY KEY (reporter, task, variant, revision, device_class, batch)
    ) STRICT;
  `);
  database.prepare('DELETE FROM profiles WHERE received_at < ?').run(now - KEEP_PROFILES_MS);
  database
    .prepare(
      'DELETE FROM profiles WHERE rowid NOT IN (SELECT rowid FROM profiles ORDER BY received_at DESC LIMIT ?)',
    )
    .run(KEEP_REPORTS);
  const open = new Set(['registry', 'profiles']);
  const closeOne = async (store: string) => {
    if (open.delete(store) && open.size === 0) database.close();
  };
  return {
    registry: createRegistry(database, () => closeOne('registry')),
    profiles: createProfiles(database, () => closeOne('profiles')),
  };
}

/**
 * Does what SQLite refuses at once, without waiting as its statements do, while another process opens the same file for the
 * first time: changing the journal mode (SQLITE_BUSY). Holds up the thread, for milliseconds, before anything is served.
 */
function whenFree(work: () => void): void {
  const giveUpAt = performance.now() + BUSY_WITHIN_MS;
  for (;;) {
    try {
      work();
      return;
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== SQLITE_BUSY || performance.now() > giveUpAt)
        throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_PAUSE_MS);
    }
  }
}

function createRegistry(database: DatabaseSync, close: () => Promise<void>): RegistryStore {
  const list = database.prepare('SELECT json FROM tasks ORDER BY task');
  const put = database.prepare('INSERT OR REPLACE INTO tasks (task, json) VALUES (?, ?)');
  const remove = database.prepare('DELETE FROM tasks WHERE task = ?');
  return {
    list: async () => list.all().map((row) => readRecord(String(row.json))),
    put: async (record) => {
      const json = JSON.stringify(record);
      whereRoom(() => put.run(record.active.task, json));
    },
    delete: async (task) => {
      whereRoom(() => remove.run(task));
    },
    close,
  };
}

/**
 * A row is a record, or a bare task as 0.1.0 wrote it. Such a task is read as revision 1 of an unknown source rather than
 * dropped: a mesh that is upgraded goes on answering, and the next registration of the task, whose source is known,
 * replaces it.
 */
function readRecord(json: string): TaskRecord {
  const row = JSON.parse(json) as TaskRecord | Omit<RegisteredTask, 'revision' | 'rejected' | 'source'>;
  if ('active' in row) return row;
  const variants = row.variants.map((variant) => ({ ...variant, origin: variant.origin ?? 'supplied' }));
  return { active: { ...row, variants, revision: 1, rejected: [], source: '', registeredAt: '' } };
}

/** Runs a change of the file. @throws MeshError `MESH_STORAGE_FULL` when the disk has no room for it. */
function whereRoom(change: () => void): void {
  try {
    change();
  } catch (cause) {
    if ((cause as { readonly errcode?: number }).errcode !== SQLITE_FULL) throw cause;
    throw new MeshError('MESH_STORAGE_FULL', 'There is no room for the registry: free some and try again', {
      cause,
    });
  }
}

function createProfiles(database: DatabaseSync, close: () => Promise<void>): ProfileStore {
  const list = database.prepare('SELECT reporter, received_at, json FROM profiles ORDER BY received_at');
  const save = database.prepare('INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const remove = database.prepare('DELETE FROM profiles WHERE task = ? AND variant = ? AND revision = ?');
  const inTransaction = (change: () => void) => {
    database.exec('BEGIN');
    try {
      change();
      database.exec('COMMIT');
    } catch (error) {
      database.exec('ROLLBACK');
      throw error;
    }
  };
  return {
    list: async () =>
      list.all().map(
        (row): StoredReport => ({
          reporter: String(row.reporter),
          receivedAt: Number(row.received_at),
          report: JSON.parse(String(row.json)) as StoredReport['report'],
        }),
      ),
    save: async (reports) =>
      inTransaction(() => {
        for (const { reporter, receivedAt, report } of reports) {
          const { task, variant, revision, deviceClass, batch } = report;
          save.run(reporter, task, variant, revision, deviceClass, batch, receivedAt, JSON.stringify(report));
        }
      }),
    delete: async (variants) =>
      inTransaction(() => {
        for (const { task, variant, revision } of variants) remove.run(task, variant, revision);
      }),
    close,
  };
}
