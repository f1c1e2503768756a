"""The tables of a run, in Markdown."""

def number(value):
    """Three digits, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 1e-3 else f"{value:.1g}"


def with_spread(values):
    median, least, most = map(number, values)
    return median if least == most else f"{median} ({least}–{most})"


def ratio(values):
    median, least, most = ("%.1f" % v if v < 100 else "%.0f" % v for v in values)
    return median if least == most else f"{median} ({least}–{most})"


def lines(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "| " + " | ".join("---" for _ in header) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def not_reached(entry):
    return f"not after {number(entry['seconds'][0])} (loss {entry['loss']:.2g})"


def first(name, result, i):
    """The system, in the first row of its group only."""
    return f"{name}, {result['n']} × {result['p']}" if i == 0 else ""


def update_rows(results, what):
    for name, result in results["systems"].items():
        for i, entry in enumerate(result[what]):
            row = [first(name, result, i), entry["label"], with_spread(entry["ms"])]
            row.append(ratio(entry["ratio"]) if i else "")
            if what == "updates":
                goal = entry.get("goal")
                met = goal and entry["ratio"][0] >= goal
                row.append(f"{goal}{'' if met else ', missed'}" if goal else "")
            row.append(f"{entry['error']:.0e}")
            row.append(f"{entry['first']:.1f}" if "first" in entry else "")
            yield row


def decomposition_rows(results):
    for name, result in results["systems"].items():
        alone, whole, *peers = result["decompositions"]
        for i, peer in enumerate(peers):
            against = peer["ms"][0] / whole["ms"][0]
            yield [
                f"{result['n']} ({name})" if i == 0 else "",
                peer["label"],
                with_spread(peer["ms"]),
                with_spread(alone["ms"]) if i == 0 else "",
                ratio(peer["ratio"]),
                with_spread(whole["ms"]) if i == 0 else "",
                f"{against:.1f}",
            ]


def training_rows(results):
    for name, result in results["systems"].items():
        for i, entry in enumerate(result["training"]):
            reached = entry["loss"] <= entry["goal"]
            yield [
                f"{name}, {entry['goal']:g}" if i == 0 else "",
                entry["label"],
                f"{entry['updates']}",
                with_spread(entry["seconds"]) if reached else not_reached(entry),
                ratio(entry["ratio"]) if "ratio" in entry else "",
            ]


def tables(results):
    text = [
        "One half-inverse update from the same weights and batch, up to new weights. Times"
        " are medians of rounds in which all take their turn, with the least and the most; `times`"
        " is the peer's time over the library's of the same round. `error` is that of the step"
        " against NumPy's SVD of the dense J in f64; the first call of a JAX function compiles it.",
        "",
        *lines(
            ["system, n × p", "what", "ms", "times", "goal", "error", "first call, s"],
            update_rows(results, "updates"),
        ),
        "",
        "Training from the same weights over the same batches to a loss of all training samples"
        " (seconds of the updates alone, without compilation).",
        "",
        *lines(
            ["system, loss", "what", "updates", "s", "times"],
            training_rows(results),
        ),
        "",
        "Eigenvalues and eigenvectors of K by LAPACK (OpenBLAS), against this library's"
        " decomposition of the same K with U·f·Uᵀ·g, and against its whole update.",
        "",
        *lines(
            ["n", "what", "ms", "decomposition here, ms", "times", "whole update here, ms", "times"],
            decomposition_rows(results),
        ),
        "",
        "One damped Gauss-Newton update by published packages (f64, λ = 1e-4 of the largest"
        " eigenvalue of K), against the same update here.",
        "",
        *lines(
            ["system, n × p", "what", "ms", "times", "error", "first call, s"],
            update_rows(results, "damped"),
        ),
        "",
        under(results),
    ]
    return "\n".join(text) + "\n"


def under(results):
    """What the numbers belong to."""
    about = results["about"]
    return (
        f"{'A quick run. ' if results['quick'] else ''}{about['date']}, {about['machine']},"
        f" of which other programs used {about['others']:.1f}, commit {about['commit']},"
        f" {about['versions']}; {about['minutes']:.0f} minutes. LAPACK of the peers with all threads,"
        " or one where that was faster."
    )


def thread_rows(results):
    for name, counts in results["threads"].items():
        one = counts.get(1)
        for i, (threads, entry) in enumerate(counts.items()):
            ours, best, alone, eigh = (entry[k] for k in ("ours", "best", "alone", "eigh"))
            faster = one and one["ours"]["ms"][0] / ours["ms"][0]
            yield [
                first(name, entry, i),
                f"{threads}",
                with_spread(ours["ms"]),
                f"{faster:.2f}" if faster else "",
                with_spread(best["ms"]),
                ratio(best["ratio"]),
                with_spread(alone["ms"]),
                with_spread(eigh["ms"]),
                ratio(eigh["ratio"]),
            ]


def of_threads(results):
    """The tables of a run with several numbers of threads."""
    header = ["system, n × p", "threads", "update, ms", "faster than one", "best JAX, ms", "times"]
    header += ["decomposition, ms", "best LAPACK, ms", "times"]
    text = [
        "A half-inverse update and the decomposition of K with as many cores as threads, beside the"
        " fastest JAX in f64 and the fastest of LAPACK's eigendecompositions on the same cores.",
        "",
        *lines(header, thread_rows(results)),
        "",
        under(results),
    ]
    return "\n".join(text) + "\n"


def insert(text, file, mark):
    """Writes the tables between the marks of a file, or all of a file that has none."""
    old = file.read_text() if file.exists() else ""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if begin in old and end in old:
        before, rest = old.split(begin, 1)
        text = f"{before}{begin}\n{text}{end}{rest.split(end, 1)[1]}"
    file.write_text(text)
