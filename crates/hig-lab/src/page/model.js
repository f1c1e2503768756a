// The data as the panels want it. Anything may be missing: what is not there becomes an empty list.

const LOSS_COLUMNS = ["update", "epoch", "seconds", "train_loss", "test_loss"];
const STATES = ["waiting", "running", "finished", "interrupted", "failed", "diverged"];

const list = (value) => (Array.isArray(value) ? value : []);
const record = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
const text = (value) => (value === null || value === undefined ? "" : String(value));

/** A table of entries by whatever names a file gives, `constructor` among them: nothing is inherited. */
const dictionary = (entries) => Object.assign(Object.create(null), Object.fromEntries(entries));
const own = (table) => dictionary(Object.entries(record(table)));

/** Numbers, NaN for what is not one. */
function numbers(values) {
  return Float64Array.from(list(values), (v) => (typeof v === "number" ? v : NaN));
}

/** Columns of one length: the shortest of those that are there. Each is read when it is asked for,
 * because a live page shows few of them at a time. */
function columns(table, names) {
  const all = own(table);
  const raw = names.map((name) => [name, list(all[name])]);
  const lengths = raw.map(([, c]) => c.length).filter((n) => n > 0);
  const rows = lengths.length ? Math.min(...lengths) : 0;
  const read = dictionary([["rows", rows]]);
  for (const [name, values] of raw) {
    let kept = null;
    const get = () => (kept ??= values.length ? numbers(values).subarray(0, rows) : new Float64Array(rows).fill(NaN));
    Object.defineProperty(read, name, { get, enumerable: true });
  }
  return read;
}

/** A method that has ended is not read again when its run is sent again. */
function sameMethod(old, method) {
  const ended = (m) => m?.state !== "running" && m?.state !== "waiting";
  const told = (m) => JSON.stringify([m?.state, m?.outcome, m?.metrics?.update?.length, m?.warnings?.length, m?.pictures?.update]);
  return ended(old) && ended(method) && told(old) === told(method);
}

/** The live page is sent what has changed: runs by path, methods by name; the rest stays. */
function mergeData(held, news) {
  if (!held) return news;
  const merged = { ...held, ...news };
  const place = (run) => text(run?.path) || text(run?.name);
  const replace = (olds, others, key, join) => {
    const result = [...list(olds)];
    for (const other of list(others)) {
      const at = result.findIndex((old) => key(old) === key(other));
      if (at < 0) result.push(other);
      else result[at] = join(result[at], other);
    }
    return result;
  };
  merged.runs = replace(held.runs, news?.runs, place, (old, run) => ({
    ...old,
    ...run,
    methods: replace(old?.methods, run?.methods, (m) => text(m?.name), (a, b) => (sameMethod(a, b) ? a : { ...a, ...b })),
  }));
  return merged;
}

/** Methods that were read, by their data: what an update does not touch is not read again. */
const methodsRead = new WeakMap();

function readMethod(raw, run, key) {
  const method = record(raw);
  if (!methodsRead.has(method)) methodsRead.set(method, readTables(method));
  return { ...methodsRead.get(method), run, key };
}

function readTables(method) {
  const outcome = method.outcome ? record(method.outcome) : null;
  const steps = Object.entries(record(method.steps)).map(([name, t]) => [name, columns(t, ["update", "value"])]);
  const timing = Object.entries(record(method.timing)).map(([name, t]) => [name, columns(t, ["update", "seconds"])]);
  const diagnostics = own(method.diagnostics);
  // The name under which columns tell how many rows they have.
  delete diagnostics.rows;
  const phases = list(method.phases).length ? method.phases : list(outcome?.phases);
  return {
    name: text(method.name) || "method",
    look: Number.isInteger(method.style) && method.style >= 0 ? method.style : null,
    state: STATES.includes(method.state) ? method.state : "waiting",
    outcome,
    metrics: columns(method.metrics, LOSS_COLUMNS),
    diagnostics: columns(diagnostics, Object.keys(diagnostics)),
    measured: Object.keys(diagnostics),
    steps: dictionary(steps),
    spectrum: list(method.spectrum).map((group) => ({
      update: record(group).update,
      table: columns(group, ["index", "value"]),
    })).filter((group) => group.table.rows && isNumber(group.update)),
    timing: dictionary(timing),
    warnings: list(method.warnings).map(record),
    phases: list(phases).filter((p) => Array.isArray(p) && isNumber(p[0])),
    pictures: method.pictures ? record(method.pictures) : null,
  };
}

function readRun(raw, index, taken) {
  const data = record(raw);
  const run = {
    name: text(data.name) || `run ${index + 1}`,
    path: text(data.path),
    about: own(data.about),
    config: text(data.config),
    settings: own(data.settings),
    target: Array.isArray(data.target) ? data.target : null,
    index,
  };
  let id = run.path || run.name;
  while (taken.has(id)) id += "'";
  taken.add(id);
  run.id = id;
  run.system = text(run.about.system ?? run.settings["run.system"]);
  run.methods = list(data.methods).map((m) => readMethod(m, run, `${id}/${text(record(m).name)}`));
  return run;
}

let lastRead = { raw: undefined, runs: [] };

/** The runs; read again only where the data are others. */
function readRuns(raw) {
  if (lastRead.raw !== raw) {
    const taken = new Set();
    lastRead = { raw, runs: list(record(raw).runs).map((run, k) => readRun(run, k, taken)) };
  }
  return lastRead.runs;
}

/** Everything, with the style and the label of each curve. */
function readModel(raw, view) {
  const data = record(raw);
  const runs = readRuns(raw);
  const curves = runs.flatMap((run) => run.methods);
  const methods = [...new Set(curves.map((c) => c.name))];
  const several = runs.length > 1;
  const systems = [...new Set(runs.map((run) => run.system))];
  // Runs of one system share its charts: dashes tell them apart there.
  const together = (run) => runs.filter((other) => other.system === run.system);
  const shared = runs.some((run) => together(run).length > 1);
  const byRun = shared && (view.colourBy ?? (methods.length === 1 ? "run" : "method")) === "run";
  for (const curve of curves) {
    // A method has its own colour, dashes and symbol; one that the table does not know, by its place.
    const method = curve.look ?? methods.indexOf(curve.name);
    const beside = together(curve.run);
    const run = beside.indexOf(curve.run);
    curve.style = styleOf(byRun ? run : method, beside.length > 1 ? run : method, method);
    curve.label = !several ? curve.name : methods.length === 1 ? curve.run.name : `${curve.run.name} · ${curve.name}`;
  }
  const working = curves.some((c) => c.state === "running" || c.state === "waiting");
  const empty = working || (data.live === true && !curves.length) ? "Nothing yet." : "Nothing was recorded.";
  const shown = curves.filter((c) => !view.hidden.has(c.key));
  return {
    live: data.live === true,
    generated: text(data.generated),
    version: text(data.version),
    empty,
    emptyPlot: curves.length && !shown.length ? "All methods are hidden." : empty,
    runs, systems, curves, methods, several, shared, byRun, shown,
  };
}

/** What is drawn in charts of one system, for each system: losses and measures of several have nothing to
 * do with each other. The name is empty where there is one system. */
function bySystem(model) {
  if (model.systems.length < 2) return [["", model]];
  return model.systems.map((system) => {
    const of = (curves) => curves.filter((c) => c.run.system === system);
    const runs = model.runs.filter((run) => run.system === system);
    return [system || "unknown system", { ...model, runs, curves: of(model.curves), shown: of(model.shown) }];
  });
}

/** The loss or count that a method stands at: its outcome's, or that of its last row. */
function latest(curve, column) {
  const ended = { update: "updates", epoch: "epochs" }[column] ?? column;
  const told = curve.outcome?.[ended];
  return isNumber(told) ? told : latestRow(curve, column);
}

/** A number of the last row. */
function latestRow(curve, column) {
  const values = curve.metrics[column];
  return values.length ? values[values.length - 1] : NaN;
}

/** Lowest value, and where. */
function best(values) {
  let at = -1;
  for (let k = 0; k < values.length; k++) if (values[k] < (at < 0 ? Infinity : values[at])) at = k;
  return at;
}

/** How much of its budget a method has used, from 0 to 1. */
function progress(curve) {
  if (curve.state === "waiting") return 0;
  if (curve.state !== "running") return 1;
  const limit = (name) => Number(curve.run.settings[`budget.${name}`]);
  const shares = [["updates", "update"], ["epochs", "epoch"], ["seconds", "seconds"]]
    .map(([name, column]) => latest(curve, column) / limit(name))
    .filter(isNumber);
  return shares.length ? Math.min(1, Math.max(...shares)) : 0;
}

/** Updates as seconds or epochs, between the evaluations in proportion. */
function along(curve, updates, kind) {
  if (kind === "update") return updates;
  const from = curve.metrics.update;
  const to = curve.metrics[kind];
  const n = curve.metrics.rows;
  const result = new Float64Array(updates.length).fill(NaN);
  if (!n) return result;
  let k = 0;
  for (let i = 0; i < updates.length; i++) {
    const u = updates[i];
    if (k && from[k] > u) k = 0;
    while (k + 1 < n && from[k + 1] <= u) k++;
    if (k + 1 < n) result[i] = to[k] + ((to[k + 1] - to[k]) * (u - from[k])) / (from[k + 1] - from[k] || 1);
    else {
      // Beyond the last evaluation at the pace until there.
      const pace = from[k] > from[0] ? (to[k] - to[0]) / (from[k] - from[0]) : 0;
      result[i] = to[k] + pace * (u - from[k]);
    }
  }
  return result;
}
