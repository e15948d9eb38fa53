"""What pages of the site are made of besides their texts: tables of the code, as hooks of MkDocs.

The facts that all pages of tasks share come from the table of tasks, old and new names from the table of
compatibility, the reference from the table of public names. Nothing of it lies in the repository.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from formers import public
from formers.dropin.spellings import markdown as older_names
from formers.pipelines.table import TASKS, Task
from formers.serving.tasks.table import ROWS

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    "text": "Text",
    "image": "Pictures",
    "video": "Films",
    "audio": "Sounds",
    "multimodal": "Joined",
}
EXTRAS = {"image": "vision", "video": "vision,video", "audio": "audio"}
# of tasks that read pictures or sounds beside texts
READS = {
    **dict.fromkeys(("automatic-speech-recognition", "text-to-audio", "any-to-any"), "audio"),
    "zero-shot-audio-classification": "audio",
    "document-question-answering": "vision,documents",
    "table-question-answering": "tables",
}
# what answers a task on the command line, where that is more than `formers map`
PREDICTED = "formers predict --model {model} --task {task} --file rows.jsonl --output answers.jsonl"
LOOKED = "formers look photo.jpg --model {model} --task {task}"
COMMANDS = {
    "audio-classification": "",
    "automatic-speech-recognition": "formers transcribe talk.wav --model {model} --srt",
    "depth-estimation": f"{LOOKED} --draw drawn.png",
    "fill-mask": PREDICTED,
    "image-classification": LOOKED,
    "image-segmentation": f"{LOOKED} --draw drawn.png",
    "image-text-to-text": "formers chat {model} --image photo.jpg",
    "image-to-text": LOOKED,
    "mask-generation": f"{LOOKED} --draw drawn.png",
    "object-detection": f"{LOOKED} --draw drawn.png",
    "question-answering": PREDICTED,
    "sentence-embeddings": "formers embed {model} --file texts.txt --output vectors.npy",
    "summarization": PREDICTED,
    "text-classification": 'formers predict --model {model} "a text" "another"',
    "text-generation": "formers chat {model}",
    "text-to-audio": 'formers speak "Good morning" --model {model} --output morning.wav',
    "token-classification": PREDICTED,
    "translation": PREDICTED,
    "zero-shot-image-classification": f'{LOOKED} --labels "a cat,a dog"',
    "zero-shot-object-detection": f'{LOOKED} --labels "a cat,a dog" --draw drawn.png',
}
ROOMS = {
    "pipelines": "Pipelines: a task in, an answer out",
    "auto": "Auto classes",
    "configs": "Configs",
    "core": "Outputs, logging and command lines",
    "model": "The model's base class",
    "tokenization": "Tokenizers",
    "processing": "Pictures, sounds and processors",
    "generation": "Generation",
    "training": "Training",
    "adapters": "Adapters",
    "quantization": "Quantization",
    "checkpoints": "Checkpoints",
    "nn": "Attention, masks, caches and losses of one's own",
}
# rooms whose names are imported from their modules
MODULES = {
    "evaluation": ("Judging", "formers.evaluation"),
    "jobs": ("Whole jobs", "formers.jobs"),
    "serving": ("The server", "formers.serving"),
    "export": ("ONNX", "formers.export"),
    "dropin": ("The drop-in", "formers.dropin"),
}


def facts(task: Task) -> str:
    """What the table says of a task: names, classes, the default model, what to install."""
    name, revision = task.default or ("none: name one", None)
    rows = [
        ("Name", f'`pipeline("{task.name}")`'),
        ("Also called", ", ".join(f"`{one}`" for one in task.aliases)),
        ("Class", f"[`{task.load_class().__name__}`][{where_is(task)}]"),
        ("Models", ", ".join(f"`{one}`" for one in task.model_classes)),
        ("Without a model", f"`{name}`" + (f" at `{revision}`" if revision else "")),
    ]
    extra = READS.get(task.name, EXTRAS.get(task.kind, "vision" if task.kind == "multimodal" else ""))
    if extra:
        rows.append(("Install", f"`pip install 'formers[{extra}]'`"))
    lines = ["| | |", "|---|---|", *(f"| {head} | {cell} |" for head, cell in rows if cell)]
    return "\n".join(lines)


def where_is(task: Task) -> str:
    """The path of a task's class."""
    found = task.load_class()
    return f"{found.__module__}.{found.__qualname__}"


def ends(task: Task) -> str:
    """The options, the command line and the server: what all tasks have, each in its own words."""
    model = (task.default or ("MODEL",))[0]
    own = COMMANDS.get(task.name, "").format(model=model, task=task.name)
    shell = [own] if own else []
    shell.append(f"formers map --task {task.name} --model {model} rows/*.jsonl answers")
    lines = [
        "## Options",
        "",
        f"All keywords stand at [`{task.load_class().__name__}`][{where_is(task)}]; they are given to a "
        "call, or to `pipeline` as defaults for every call. An unknown one is an error with a suggestion.",
        "",
        "## From the command line",
        "",
        "```bash",
        *shell,
        "```",
        "",
        "`map` answers every row exactly once, on one machine or many ([Many rows](../mapping.md)).",
    ]
    if {task.name, *task.aliases} & set(ROWS):
        lines += [
            "",
            "## Served",
            "",
            "```bash",
            f"formers serve {model} --task {task.name}",
            "```",
            "",
            "Clients of the Hub's Inference API ask it as they ask the Hub ([Serving](../guides/serving.md))",
        ]
    return "\n".join(lines)


def tasks_table() -> str:
    """All tasks, by what they read."""
    lines = []
    for kind, title in KINDS.items():
        lines += [f"## {title}", "", "| task | also called | answers |", "|---|---|---|"]
        for task in (one for one in TASKS if one.kind == kind):
            says = (task.load_class().__doc__ or "").strip().splitlines()[0]
            says = re.sub(r":? ?`pipeline\(.*", "", says).rstrip(".:, ")
            also = ", ".join(f"`{one}`" for one in task.aliases)
            lines.append(f"| [`{task.name}`]({task.name}.md) | {also} | {says} |")
        lines.append("")
    return "\n".join(lines)


def public_names(room: str) -> dict[str, Any]:
    """The documented names of a room -> what they mean."""
    if room in MODULES:
        source = importlib.import_module(MODULES[room][1])
        return {name: getattr(source, name) for name in getattr(source, "__all__", vars(source))}
    import formers

    names = [
        name
        for module, names in public.TABLE.items()
        if module.startswith(f"formers.{room}")
        for name in names
    ]
    return {name: getattr(formers, name) for name in names}


def entry(name: str, value: Any) -> str:
    """Of the reference: what is written in a module as the reader of sources finds it, else its docstring."""
    module, said = getattr(value, "__module__", "") or "", inspect.getdoc(value) or ""
    own = getattr(value, "__qualname__", "") == name and not name.startswith("_")
    if not (own and said and module.startswith("formers.")):
        return ""
    return f"::: {module}.{name}" if name in written(module) else f"## `{name}`\n\n{said.splitlines()[0]}"


@functools.cache
def written(module: str) -> frozenset[str]:
    """The classes and functions that stand in a module's source."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    kinds = (ast.ClassDef, ast.FunctionDef)
    return frozenset(one.name for one in tree.body if isinstance(one, kinds))


def reference(room: str) -> str:
    """A page of the reference."""
    title, module = MODULES.get(room, (ROOMS.get(room), "formers"))
    names = public_names(room)
    entries = [entry(name, names[name]) for name in sorted(names, key=str.lower)]
    about = f"Every name is imported from `{module}`."
    return "\n\n".join([f"# {title}", about, *filter(None, entries)]) + "\n"


def figures() -> str:
    """The measured figures."""
    return (ROOT / "benchmarks" / "RESULTS.md").read_text().replace("# Results", "# Figures", 1)


def made() -> dict[str, str]:
    """Pages that are all made: path -> text."""
    rooms = (*ROOMS, *MODULES)
    return {"figures.md": figures(), **{f"reference/{room}.md": reference(room) for room in rooms}}


def filled(path: str, text: str) -> str:
    """A page's text with what belongs to it from the tables."""
    task = next((one for one in TASKS if path == f"tasks/{one.name}.md"), None)
    if task is not None:
        title, _, rest = text.partition("\n")
        return f"{title}\n\n{facts(task)}\n{rest.rstrip()}\n\n{ends(task)}\n"
    return text.replace("<!-- tasks -->", tasks_table()).replace("<!-- older names -->", older_names())


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made, and put them and those of tasks into the navigation."""
    from mkdocs.structure.files import File

    for path, text in made().items():
        files.append(File.generated(config, path, content=text))
    for entry in config.nav:
        if "Tasks" in entry:
            kinds = [
                {title: [f"tasks/{one.name}.md" for one in TASKS if one.kind == kind]}
                for kind, title in KINDS.items()
            ]
            entry["Tasks"] = ["tasks/index.md", *kinds]
        if "Reference" in entry:
            titles = {**ROOMS, **{room: title for room, (title, _) in MODULES.items()}}
            entry["Reference"] = [{title: f"reference/{room}.md"} for room, title in titles.items()]
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in what belongs to a page."""
    return filled(page.file.src_uri, markdown)
