import { readdirSync, readFileSync } from 'node:fs';

/** What else happened on the machine, as shares of the time of all its cores. */
export interface MachineNoise {
  /** Busy with processes that are none of ours. */
  readonly others: number;
  /** Taken by the host. */
  readonly stolen: number;
}

interface Reading {
  readonly total: number;
  readonly idle: number;
  readonly stolen: number;
  /** Of this process and all that it started and that is still there. */
  readonly own: number;
}

/** Positions in the first line of `/proc/stat`, see proc_stat(5). */
const IDLE = 3;
const IO_WAIT = 4;
const STOLEN = 7;
const COUNTED = 8;
/** Positions after the name in `/proc/<pid>/stat`, see proc_pid_stat(5): parent, and user and system time. */
const PARENT = 1;
const USER_TIME = 11;
const SYSTEM_TIME = 12;

/** Begins to watch; the function that it gives ends that. Undefined where the system does not tell (it needs Linux). */
export function watchNoise(): () => MachineNoise | undefined {
  const before = read();
  return () => {
    const after = read();
    if (before === undefined || after === undefined) return undefined;
    const total = Math.max(1, after.total - before.total);
    const stolen = after.stolen - before.stolen;
    const busy = total - (after.idle - before.idle) - stolen;
    const others = Math.max(0, busy - (after.own - before.own));
    return { others: others / total, stolen: stolen / total };
  };
}

function read(): Reading | undefined {
  try {
    const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
    const times = line.trim().split(/\s+/).slice(1).map(Number);
    const at = (position: number) => times[position] ?? 0;
    return {
      total: times.slice(0, COUNTED).reduce((sum, time) => sum + time, 0),
      idle: at(IDLE) + at(IO_WAIT),
      stolen: at(STOLEN),
      own: ownTime(),
    };
  } catch {
    return undefined;
  }
}

function ownTime(): number {
  const processes = new Map<number, { readonly parent: number; readonly time: number }>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statOf(name);
    if (fields === undefined) continue;
    const time = Number(fields[USER_TIME]) + Number(fields[SYSTEM_TIME]);
    processes.set(Number(name), { parent: Number(fields[PARENT]), time });
  }
  const isOurs = (id: number): boolean => {
    for (let next = id; next > 1; next = processes.get(next)?.parent ?? 0) {
      if (next === process.pid) return true;
    }
    return false;
  };
  let sum = 0;
  for (const [id, { time }] of processes) if (isOurs(id)) sum += time;
  return sum;
}

/** The fields after the name, which itself may hold spaces; undefined when the process has ended meanwhile. */
function statOf(id: string): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${id}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
