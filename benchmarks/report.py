"""Write the pages in docs/results, and the table in README.md, from the result files."""

from __future__ import annotations

from benchmarks import record, tsne
from benchmarks.catalogue import entries
from benchmarks.datasets import PROJECT_ROOT
from benchmarks.runner import Benchmark, Run
from benchmarks.tables import Content, markdown, render

INTRODUCTION = (
    "The figures of all benchmarks, one page each. `python -m benchmarks.report` writes the pages "
    "from the files in `benchmarks/results`. The command under the title of a page writes its "
    "file. Aims that are not met are reported as such."
)


def provenance(content: Content) -> str:
    """Return the date, revision, hardware, versions and seeds of a result."""
    environment = content["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    # The rows of a run that was interrupted and continued may be of several revisions.
    revisions = dict.fromkeys(row["revision"] for row in content["rows"] if "revision" in row)
    revision = ", ".join(revisions) or environment["git_revision"]
    return (
        f"*{environment['date'][:10]}, revision {revision}; "
        f"{environment['processor']}, {environment['cores']} cores; {versions}; "
        f"seeds {', '.join(map(str, content['settings']['seeds']))}.*"
    )


def section(benchmark: Benchmark, run: Run, content: Content) -> list[str]:
    """Return the paragraphs of a page: title, command, body, provenance and note."""
    parts = [
        f"# {run.title}",
        f"`python -m {benchmark.command(run)}`",
        render(benchmark.section, content, markdown),
        provenance(content),
    ]
    note = PROJECT_ROOT / "docs" / "notes" / f"{run.name}.md"
    if record.PUBLISHED and note.exists():  # the notes discuss the published figures
        parts.append(note.read_text().strip())
    return parts


def write_pages() -> None:
    """Write a page for each result file, named as the file, and the index of these pages."""
    folder = record.PAGES / "results"
    folder.mkdir(parents=True, exist_ok=True)
    links, names = [], []
    for benchmark, run in entries():
        if not run.title:
            continue
        content = record.read(run.name)
        if content is None:
            print(f"{run.name}.json does not exist: its page is left out.")
            continue
        page = folder / f"{run.name}.md"
        page.write_text("\n\n".join(section(benchmark, run, content)) + "\n")
        links.append(f"- [{run.title}]({page.name})")
        names.append(run.name)
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])
    parts = ["# Results", INTRODUCTION, "\n".join(links), toctree]
    (folder / "index.md").write_text("\n\n".join(parts) + "\n")
    print(f"Wrote {len(names)} pages and index.md into {folder}.")


def write_readme() -> None:
    """Write the table of t-SNE maps between its markers in README.md."""
    content = record.read("tsne")
    if content is None:
        return
    path = PROJECT_ROOT / "README.md"
    head, marker, rest = path.read_text().partition("<!-- written by benchmarks.report -->\n")
    _, end, tail = rest.partition("<!-- end -->\n")
    table = render([tsne.readme_table], content, markdown)
    path.write_text(f"{head}{marker}{table}\n{end}{tail}")


def main() -> None:
    """Run from the command line."""
    write_pages()
    if record.PUBLISHED:
        write_readme()


if __name__ == "__main__":
    main()
