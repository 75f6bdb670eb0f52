import { Command, Option } from 'commander';
import {
  parseAboveZero,
  parseAmount,
  parseCount,
  parseJoinUrl,
  parseMeshUrl,
  parseOrigin,
  parsePort,
  parsePositive,
  parseShare,
  parseUnit,
} from './options.ts';
import { version } from './places.ts';

/**
 * The whole command line. Every command throws what went wrong; `run` turns that into an exit code. A command's code is
 * loaded when it runs, so that help and errors are there at once.
 */
export function createProgram(): Command {
  const program = new Command('nearfar')
    .description('A serving mesh for inference: every request runs where it is cheapest and still on time.')
    .version(version())
    .exitOverride()
    .showHelpAfterError();

  program
    .command('up')
    .description('start a coordinator with an embedded edge and local pool workers')
    .addOption(
      new Option('--port <number>', 'port to listen on').env('PORT').default(8787).argParser(parsePort),
    )
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .addOption(stateOption())
    .option('--manifest <file...>', 'tasks to serve (default: the sample tasks)')
    .option('--pool-workers <count>', 'local pool worker processes', parseCount, 1)
    .option('--edge-slots <count>', 'batches that the edge runs at the same time', parsePositive)
    .option('--prices <file>', 'price book to use instead of the built-in one')
    .option('--plan-every <seconds>', 'time between two plans of the slow loop', parseAboveZero, 5)
    .option('--plan-loads', 'let plans say which variants each worker holds (default: all that it can run)')
    .option(
      '--max-hedge-share <share>',
      'requests that may run a second time because they overrun, 0 to 1',
      parseUnit,
      0.05,
    )
    .option(
      '--allow-origin <origin...>',
      'origins whose pages may call (default: any; none with --no-auth)',
      parseOrigin,
    )
    .option('--no-auth', 'answer callers without a token (workers always need one)')
    .option('--quiet', 'log only problems')
    .action(async (options) => (await import('./commands/up.ts')).up(options));

  program
    .command('worker')
    .description('join a mesh as a pool worker')
    .requiredOption('--join <url>', 'the mesh, for example http://127.0.0.1:8787', parseJoinUrl)
    .addOption(
      new Option('--token <token>', 'worker token (nearfar token create --role worker)').env('NEARFAR_TOKEN'),
    )
    .addOption(
      new Option('--device <kind>', 'what to run on')
        .choices(['auto', 'cpu', 'webgpu', 'cuda'])
        .default('auto'),
    )
    .option('--id <id>', "this worker's identity (default: made from the host name)")
    .option('--slots <count>', 'batches that run at the same time', parsePositive)
    .option('--usd-per-hour <price>', "what this worker costs (default: the mesh's price book)", parseAmount)
    .option('--quiet', 'log only problems')
    .action(async (options) => (await import('./commands/worker.ts')).worker(options));

  program
    .command('infer')
    .description('ask the mesh about one file')
    .argument('<task>')
    .requiredOption('--file <file>', 'a picture (.png, .jpg), or JSON with inputs')
    .option('--slo-ms <ms>', 'soft deadline in milliseconds', parseAboveZero)
    .option('--min-accuracy <share>', 'lowest accuracy that will do, 0 to 1', parseUnit)
    .option('--degrade-to <share>', 'accuracy that will still do where nothing else is on time', parseUnit)
    .option('--priority <number>', '1 is the most urgent; 0 comes after all numbers', parseCount)
    .option('--max-cost-usd <usd>', 'bound on the cost of this request', parseAmount)
    .addOption(
      new Option('--privacy <rule>', 'where the payload may go').choices(['any', 'no_pool', 'local_only']),
    )
    .option('--explain', 'show every candidate and why it was not taken')
    .option('--json', 'print only JSON')
    .addOption(urlOption())
    .addOption(tokenOption())
    .addOption(stateOption())
    .action(async (task, options) => (await import('./commands/infer.ts')).infer(task, options));

  program
    .command('register')
    .description(
      'make a task of a manifest: variants are made from its models, tried on real inputs and profiled',
    )
    .argument('<manifest.json>')
    .option(
      '--files <folder>',
      "folder that the manifest's paths are relative to (default: the manifest's own)",
    )
    .option(
      '--data <folder>',
      'folder with eval data that are not beside the manifest (default: NEARFAR_DATA)',
    )
    .option(
      '--max-accuracy-drop <share>',
      'accuracy that a generated variant may lose against its model, 0 to 1',
      parseUnit,
      0.01,
    )
    .option('--eval-limit <count>', 'labelled inputs to measure on at most (default: all)', parsePositive)
    .option('--no-generate', 'only the variants of the manifest')
    .addOption(
      new Option('--rollout <mode>', 'how traffic goes to the new revision of a task that is there already')
        .choices(['now', 'canary', 'shadow'])
        .default('now'),
    )
    .option('--share <share>', 'share of requests that a canary or shadow revision sees', parseShare, 0.1)
    .addOption(localOption())
    .option('--json', 'print only JSON')
    .addOption(urlOption())
    .addOption(tokenOption())
    .addOption(stateOption())
    .action(async (manifest, options, command: Command) => {
      const isUrlGiven = command.getOptionValueSource('url') !== 'default';
      await (await import('./commands/register.ts')).register(manifest, options, isUrlGiven);
    });

  for (const [name, description] of [
    ['promote', "make a task's new revision the one that serves"],
    ['rollback', "drop a task's new revision, or bring back the one before"],
  ] as const) {
    program
      .command(name)
      .description(description)
      .argument('<task>')
      .option('--json', 'print only JSON')
      .addOption(localOption())
      .addOption(urlOption())
      .addOption(tokenOption())
      .addOption(stateOption())
      .action(async (task, options) =>
        (await import('./commands/revisions.ts')).moveTraffic(name, task, options),
      );
  }

  program
    .command('delete')
    .description('forget a task with its variants')
    .argument('<task>')
    .option('--force', 'also while it is in use')
    .option('--json', 'print only JSON')
    .addOption(localOption())
    .addOption(urlOption())
    .addOption(tokenOption())
    .addOption(stateOption())
    .action(async (task, options) => (await import('./commands/revisions.ts')).deleteTask(task, options));

  program
    .command('profile')
    .description('show what was measured of each variant on each device class')
    .argument('[task]')
    .option('--batch <size>', 'only this batch size', parsePositive)
    .option('--json', 'print only JSON')
    .addOption(urlOption())
    .addOption(tokenOption())
    .addOption(stateOption())
    .action(async (task, options) => (await import('./commands/profile.ts')).profile(task, options));

  program
    .command('plan')
    .description('show the newest plan: expected demand, wanted replicas, needed workers and prices')
    .option('--json', 'print only JSON')
    .addOption(urlOption())
    .addOption(tokenOption())
    .addOption(stateOption())
    .action(async (options) => (await import('./commands/plan.ts')).plan(options));

  program
    .command('models')
    .description('list tasks and their variants: accuracy, size, speed and cost on each device class')
    .argument('[task]')
    .addOption(localOption())
    .option('--json', 'print only JSON')
    .addOption(urlOption())
    .addOption(tokenOption())
    .addOption(stateOption())
    .action(async (task, options) => (await import('./commands/models.ts')).models(task, options));

  program
    .command('simulate')
    .description('replay a load against a fleet that does not have to exist, under a placement policy')
    .argument('<scenario.json>')
    .option(
      '--policy <name>',
      'mesh, always-browser, always-edge, always-pool, greedy-latency, greedy-cost, infaas, infaas-dropping, clipper, tfserving, proteus, informed or clairvoyant',
      'mesh',
    )
    .option('--seed <number>', "seed of all that is drawn (default: the scenario's)", parseCount)
    .option('--data <folder>', 'folder of the files that a scenario names data:… (default: NEARFAR_DATA)')
    .option('--no-bound', 'leave out what any placement would cost at least')
    .option('--clairvoyant', 'also show the best schedule found by one who knows everything beforehand')
    .option('--report <out.html>', 'write the run as one HTML page with plots')
    .option('--json', 'print only JSON')
    .action(async (scenario, options) =>
      (await import('./commands/simulate.ts')).simulate(scenario, options),
    );

  program
    .command('bench')
    .description('measure what the documentation claims (without a name: list the benchmarks)')
    .argument('[name]')
    .option('--seed <number>', 'seed of everything that is drawn', parseCount, 1)
    .option('--quick', 'a few small parts of a long benchmark, to see that it works')
    .option('--seeds <count>', 'seeds of a long benchmark, from --seed on', parseCount)
    .option('--out <file>', 'keep finished parts of a long benchmark here, and go on from what is there')
    .option('--threads <count>', 'threads of a long benchmark (default: one for each core)', parseCount)
    .option('--data <folder>', 'folder with data sets and traces (default: NEARFAR_DATA)')
    .option('--json', 'print only JSON')
    .action(async (name, options) => (await import('./commands/bench.ts')).bench(name, options));

  const token = program.command('token').description('make access tokens');
  token
    .command('create')
    .description('print a signed token')
    .addOption(
      new Option('--role <role>', 'what it allows')
        .choices(['client', 'worker', 'admin'])
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--tier <tier>',
        'what a worker may serve; an edge worker also sees what callers keep off the pool',
      )
        .choices(['pool', 'edge'])
        .default('pool'),
    )
    .option('--subject <name>', 'whom it is for', 'cli')
    .option('--expires-in <hours>', 'lifetime in hours', parsePositive, 720)
    .option('--json', 'print only JSON')
    .addOption(stateOption())
    .action(async (options) => (await import('./commands/token.ts')).createTokenCommand(options));

  program
    .command('demo')
    .description('run a real browser, HTTP callers and a pool worker against a mesh for about 30 seconds')
    .option('--seconds <count>', 'how long the callers call', parsePositive, 30)
    .option(
      '--data <directory>',
      'folder with mnist/ and fashion-mnist/ in IDX form (default: where it is found, else the sample pictures)',
    )
    .option('--json', 'print only JSON')
    .action(async (options) => (await import('./commands/demo.ts')).demo(options));

  return program;
}

function stateOption(): Option {
  return new Option('--state <directory>', 'where secret, registry, profiles and accounts are kept')
    .env('NEARFAR_STATE')
    .default('.nearfar');
}

function localOption(): Option {
  return new Option('--local', 'work on the state folder, whether or not a mesh answers');
}

function urlOption(): Option {
  return new Option('--url <url>', 'the mesh')
    .env('NEARFAR_URL')
    .default('http://127.0.0.1:8787')
    .argParser(parseMeshUrl);
}

function tokenOption(): Option {
  return new Option('--token <token>', 'client token (default: one made with the local secret)').env(
    'NEARFAR_TOKEN',
  );
}
