"""`ORTModelFor...`: from a folder, or a checkpoint that is exported first, to a model in ONNX Runtime."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from formers.configs import GENERATION_CONFIG_NAME, GenerationConfig
from formers.core.notices import notice, refuse_unknown
from formers.export.errors import BrokenGraph, ExportError
from formers.export.exporting import export_model
from formers.export.folder import data_of, is_exported
from formers.export.kinds import KINDS, ending_of, kind_of
from formers.export.parts import FILES, MODEL
from formers.export.running import OnGraph
from formers.export.session import CPU, Session
from formers.hub import HUB_KEYWORDS, Source, split_hub_keywords
from formers.model.building import for_a_checkpoint
from formers.models.classes import class_of, endings
from formers.models.registry import config_of, family_of

_KEYWORDS = (
    *("config", "export", "file_name", "provider", "providers", "provider_options", "session_options"),
    *("use_cache", "use_io_binding", "use_merged", "opset", "dtype", "torch_dtype", "trust_remote_code"),
    *("encoder_file_name", "decoder_file_name", "decoder_with_past_file_name", "task"),
)


class ORTModel:
    """A model in ONNX Runtime; `ORTModelFor...` say with which head."""

    tasks: ClassVar[tuple[str, ...]] = ()
    sessions: dict[str, Session]
    folder: Path
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def from_pretrained(
        cls, model_id: str | os.PathLike[str], *, export: bool | None = None, **options: Any
    ) -> Any:
        """Load an exported model, or export a checkpoint and load that.

        Args:
            model_id: folder, or Hub id.
            export: export the checkpoint first; by default where there are no graphs.
            options: `file_name` (`encoder_file_name`, `decoder_file_name`, `decoder_with_past_file_name`) of
                graphs with other names, `provider` or `providers`, `provider_options`, `session_options`,
                `use_cache`, `opset`, `config`, and the Hub's keywords.

        Raises:
            BrokenGraph: for a file that is not there, or cut off.
            ExportError: where the checkpoint's family has no such head, or its export does not agree.
            TypeError: for an unknown keyword.
        """
        hub, options = split_hub_keywords(options)
        refuse_unknown(options, (*_KEYWORDS, *HUB_KEYWORDS), f"{cls.__name__}.from_pretrained")
        source = Source.of(model_id, **hub)
        config = options.get("config")
        if config is None or isinstance(config, str | os.PathLike):
            config, _ = config_of(model_id if config is None else config, **hub)
        kind = cls._model_class(config)
        names = _names(options, source)
        if export is None:
            export = not any(source.find(names[name]) for name in FILES)
            if export:
                notice(f"{model_id} holds no {names[MODEL]}: it is exported for now; export=True says so")
        if not export:
            return _loaded(cls, kind, config, source, names, options)
        model = kind.from_pretrained(model_id, config=config, **hub)
        kept = tempfile.TemporaryDirectory(prefix="formers-onnx-")
        export_model(model, kept.name, opset=options.get("opset"), with_past=options.get("use_cache"))
        found = _loaded(cls, kind, config, Source.of(kept.name), {name: name for name in FILES}, options)
        found._temporary = kept  # as long as the model lives
        found.name_or_path = config.name_or_path = str(model_id)
        return found

    @classmethod
    def _model_class(cls, config: Any) -> Any:
        """The class of the library whose graph it is."""
        family = family_of(config.model_type)
        if not cls.tasks:  # any head: the config says which
            named = [name.removeprefix(family.name) for name in config.architectures or ()]
            ending = next((name for name in named if name in endings(family)), None)
        else:
            ending = ending_of(family, cls.tasks)
        if ending is None:
            able = [name for name, (_, tasks) in KINDS.items() if ending_of(family, tasks) is not None]
            raise ExportError(
                f"{cls.__name__} has no head of {family.name}; those that have: {', '.join(able)}"
            )
        return class_of(family, ending)

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **options: Any
    ) -> None:
        """Copy the graphs, the config and what lies beside them.

        Raises:
            TypeError: for what a copy does not do.
        """
        refuse_unknown(options, ("file_suffix",), "save_pretrained")
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path.parent != folder.absolute():
                shutil.copyfile(path, folder / path.name)
        if push_to_hub:
            from formers.hub import push_saved

            push_saved(folder, {})


def _names(options: Mapping[str, Any], source: Source) -> dict[str, str]:
    """What the files of graphs are called, where that is not as usual.

    A folder with one graph alone, of whatever name (`model_quantized.onnx`), needs nobody to say which.
    """
    given = [options.get(f"{part}file_name") for part in ("", "encoder_", "decoder_", "decoder_with_past_")]
    names = {usual: str(own or usual) for usual, own in zip(FILES, given, strict=True)}
    if source.folder is not None and not any(source.find(name) for name in names.values()):
        graphs = [name for name in source.listing() if name.endswith(".onnx") and "/" not in name]
        if len(graphs) == 1 and given[0] is None:
            names[MODEL] = graphs[0]
    return names


def _loaded(
    cls: type[ORTModel],
    kind: Any,
    config: Any,
    source: Source,
    names: Mapping[str, str],
    options: Mapping[str, Any],
) -> Any:
    """The model over the graphs of a folder or a repository."""
    found = {usual: path for usual, name in names.items() if (path := source.find(name)) is not None}
    if not found:
        raise BrokenGraph(
            f"{source} holds none of {', '.join(dict.fromkeys(names.values()))}: export it, export=True"
        )
    for usual in found:
        source.find(data_of(Path(names[usual])).as_posix())  # weights beside a large graph
    providers, chosen = _providers(options)
    with for_a_checkpoint():
        both: Any = cls
        model = _class(both, kind)(config)
    model.sessions = {
        usual: Session(path, providers, chosen, options.get("session_options"))
        for usual, path in found.items()
    }
    model.folder = next(iter(found.values())).parent
    model.name_or_path = str(source.name)
    if model.generation_config is not None and source.find(GENERATION_CONFIG_NAME) is not None:
        model.generation_config = GenerationConfig.from_pretrained(model.folder)
    return model.eval()


def _providers(options: Mapping[str, Any]) -> tuple[Sequence[str] | None, Any]:
    """What runs the graphs, and its options, one for each."""
    providers = options.get("providers") or [options.get("provider") or CPU]
    chosen = options.get("provider_options")
    return providers, [chosen] if isinstance(chosen, Mapping) else chosen


@cache
def _class(cls: Any, kind: Any) -> Any:
    """The class of models that are both."""
    return type(f"ORT{kind.__name__}", (cls, OnGraph, kind), {"__doc__": f"{kind.__name__} in ONNX Runtime."})


def load(kind: Any, name: Any, config: Any, options: Mapping[str, Any]) -> Any:
    """A model of that class of the library in ONNX Runtime, as an Auto class or a pipeline asks for it.

    Args:
        kind: the class.
        name: folder or Hub id; a checkpoint is exported first.
        config: its config.
        options: keywords of `from_pretrained`, and those of torch's models that change nothing here.

    Raises:
        ValueError: for graphs of another class, or a dtype that is not theirs.
    """
    given = {
        key: value for key, value in options.items() if value is not None and key != "attn_implementation"
    }
    dtype = given.pop("dtype", given.pop("torch_dtype", "auto"))
    if str(dtype).removeprefix("torch.") not in ("auto", "float32"):
        raise ValueError(
            f"{name} in ONNX Runtime takes and returns float32, not {dtype}: leave dtype out, or export it "
            "with fp16"
        )
    named = config.architectures or [kind.__name__]
    if is_exported(name) and kind.__name__ not in named:
        raise ValueError(f"{name} was exported as {' / '.join(named)}, not as {kind.__name__}")
    found: type[ORTModel] = globals()[kind_of(kind)]
    if not found.tasks:
        config.architectures = [kind.__name__]
    return found.from_pretrained(name, config=config, **given)


def load_first(autos: Sequence[Any], name: Any, options: Mapping[str, Any]) -> Any:
    """A model in ONNX Runtime by the first of some Auto classes that knows its architecture.

    Args:
        autos: classes.
        name: folder or Hub id; a checkpoint is exported first.
        options: `config`, and keywords of `from_pretrained`.

    Raises:
        ValueError: where none does.
    """
    given = {key: value for key, value in options.items() if key not in ("config", "device_map")}
    config = options["config"]
    refusal: ValueError | None = None
    for auto in autos:
        kind = auto.class_of_config(type(config))
        try:
            if kind is not None:
                return load(kind, name, config, given)
        except ValueError as error:
            refusal = error
    names = " and ".join(auto.__name__ for auto in autos)
    raise refusal or ValueError(f"{names} have no class for {config.model_type!r} models")


class ORTModelForCustomTasks(ORTModel):
    """A model in ONNX Runtime with whatever head its config names."""


for _name, (_task, _tasks) in KINDS.items():
    globals()[_name] = type(
        _name, (ORTModel,), {"tasks": _tasks, "__doc__": f"{_task} in ONNX Runtime.", "__module__": __name__}
    )
