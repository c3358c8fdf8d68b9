"""How our classes get into the framework: in any order of imports, repeatedly, beside the stock ones or in their place.

Each test is one new interpreter, for the order in which things are imported there.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("modelscope")
pytest.importorskip("six")

from tests.made_audio import save, speech
from tests.marks import slow
from tests.plugin_parts import ROOT, in_fresh_process, official_directory, tiny_directory

FOR_DEVELOPERS = ("benchmarks", "description", "notebooks", "tests")
DEVELOPERS_PACKAGES = ("pytest", "hypothesis")
LOOSE = ("docker", "runtime")
"""Folders whose Python files are no package; they do nothing when they are imported."""
OURS, OFFICIAL = "frcrn-ans-16k", "speech_frcrn_ans_cirm_16k"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registration")
    tiny_directory(folder / "ours")
    official_directory(folder / "official")
    save(folder / "noisy.wav", speech(0.5, seed=1))
    return folder


TOOLS = '''
def registered(name):
    """Who answers to a name, for the model, the pipeline and the trainer."""
    from modelscope.models.builder import MODELS
    from modelscope.pipelines.builder import PIPELINES
    from modelscope.trainers.builder import TRAINERS
    from modelscope.utils.import_utils import LazyImportModule
    keys = ((MODELS, TASK), (PIPELINES, TASK), (TRAINERS, "default"))
    index = LazyImportModule.get_ast_index()["index"]
    classes = [registry.get(name, group) for registry, group in keys]
    places = [index.get((registry.name.upper(), group, name), {}).get("module") for registry, group in keys]
    return [[cls and cls.__module__, place] for cls, place in zip(classes, places)]

def enhance(model, **options):
    from modelscope.pipelines import pipeline
    ans = pipeline(TASK, model=str(FOLDER / model), device="cpu", **options)
    return type(ans).__module__, len(ans(str(FOLDER / "noisy.wav"))["output_pcm"])

def heard():
    """What the framework logs from now on."""
    from modelscope.utils.logger import get_logger
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    get_logger().addHandler(handler)
    return lines
'''

OF_OURS = [["frcrn.plugin.model"] * 2, ["frcrn.plugin.pipeline"] * 2, ["frcrn.plugin.trainer"] * 2]
OF_STOCK = [
    ["modelscope.models.audio.ans.frcrn"] * 2,
    ["modelscope.pipelines.audio.ans_pipeline"] * 2,
    ["modelscope.trainers.audio.ans_trainer"] * 2,
]
PIPELINE = ["frcrn.plugin.pipeline", 16000]


def test_ours_first_then_stock(models: Path) -> None:
    script = """
    with closed_network() as tried:
        import frcrn.plugin
        lines = heard()
        FOUND["ours"] = registered("frcrn-ans-16k")
        FOUND["stock untouched"] = registered("speech_frcrn_ans_cirm_16k")
        from modelscope.metainfo import Metrics, Models, Pipelines, Trainers
        from modelscope.metrics.builder import METRICS, build_metric
        FOUND["names"] = [cls.frcrn_ans_16k for cls in (Models, Pipelines, Trainers)] + [Metrics.frcrn_ans_metric]
        FOUND["metric"] = type(build_metric("frcrn-ans-metric")).__module__
        FOUND["pipeline"] = enhance("ours")
        FOUND["official by our name"] = enhance("official", pipeline_name="frcrn-ans-16k")
        from modelscope.models import Model
        FOUND["model"] = type(Model.from_pretrained(str(FOLDER / "ours"), device="cpu")).__module__
        FOUND["model of the repository"] = type(Model.from_pretrained(ROOT, device="cpu")).__module__

        import modelscope.models.audio.ans.frcrn, modelscope.pipelines.audio.ans_pipeline
        import modelscope.trainers.audio.ans_trainer
        FOUND["stock beside ours"] = registered("speech_frcrn_ans_cirm_16k")

        from importlib import reload
        from frcrn.plugin import registration
        reload(registration), reload(frcrn.plugin), reload(sys.modules["frcrn.plugin.pipeline"])
        frcrn.plugin.register()
        for name in [name for name in sys.modules if name.startswith("frcrn.plugin")]:
            del sys.modules[name]
        import frcrn.plugin
        FOUND["reloaded"] = enhance("ours")
        for _ in range(2):
            frcrn.plugin.replace_stock()
        FOUND["replaced"] = registered("speech_frcrn_ans_cirm_16k")
        FOUND["official"] = enhance("official")
        FOUND["zip"] = zip_enhancer()
    FOUND["tried"] = tried
    FOUND["not found"] = [line for line in lines if "not found in ast" in line and "frcrn" in line]
    """
    found = in_fresh_process(TOOLS + ZIP + f"ROOT = {str(ROOT)!r}\n" + dedented(script), models, librosa=True)
    assert found["ours"] == OF_OURS
    assert [place for _, place in found["stock untouched"]] == [place for _, place in OF_STOCK]
    assert found["names"] == [OURS] * 3 + ["frcrn-ans-metric"]
    assert found["metric"] == "frcrn.plugin.metric"
    assert found["pipeline"] == found["official by our name"] == found["reloaded"] == found["official"] == PIPELINE
    assert found["model"] == found["model of the repository"] == "frcrn.plugin.model"
    assert found["stock beside ours"] == OF_STOCK
    assert found["replaced"] == OF_OURS
    assert found["zip"] == ["modelscope.pipelines.audio.ans_pipeline", 16000]
    assert found["tried"] == []
    assert found["not found"] == []


# ZipEnhancer shares a file with the stock pipeline; its own weights are not needed to see that it runs.
ZIP = '''
def zip_enhancer():
    """Run the stock ZipEnhancer pipeline around a network that does nothing."""
    import torch
    from modelscope.models import TorchModel
    from modelscope.models.builder import MODELS
    from modelscope.utils.import_utils import LazyImportModule
    name = "speech_zipenhancer_ans_multiloss_16k_base"

    class Nothing(TorchModel):
        def __init__(self, model_dir, *args, **kwargs):
            super().__init__(model_dir, *args, **kwargs)
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, inputs):
            return {"wav_l2": inputs["noisy"]}

    MODELS.register_module(TASK, module_name=name, module_cls=Nothing, force=True)
    LazyImportModule.get_ast_index()["index"].pop(("MODELS", TASK, name))
    folder = FOLDER / "zip"
    folder.mkdir(exist_ok=True)
    kind = {"type": name}
    settings = {"framework": "pytorch", "task": TASK, "model": kind, "pipeline": kind, "preprocessor": {}}
    (folder / "configuration.json").write_text(json.dumps(settings))
    import contextlib
    with contextlib.redirect_stdout(sys.stderr):  # it prints
        Nothing.__module__ = "modelscope.test"
        return enhance("zip")
'''


def dedented(script: str) -> str:
    import textwrap

    return textwrap.dedent(script)


def test_stock_first_then_ours(models: Path) -> None:
    script = """
    import modelscope.pipelines.audio.ans_pipeline, modelscope.models.audio.ans.frcrn
    import modelscope.trainers.audio.ans_trainer
    with closed_network() as tried:
        import frcrn.plugin
        FOUND["stock"] = registered("speech_frcrn_ans_cirm_16k")
        FOUND["ours"] = registered("frcrn-ans-16k")
        frcrn.plugin.replace_stock()
        FOUND["replaced"] = registered("speech_frcrn_ans_cirm_16k")
        FOUND["official"] = enhance("official")
        from modelscope.metainfo import Trainers
        from modelscope.trainers import build_trainer
        kwargs = dict(model=str(FOLDER / "official"), work_dir=str(FOLDER / "work"))
        FOUND["trainer"] = type(build_trainer(Trainers.speech_frcrn_ans_cirm_16k, default_args=kwargs)).__module__
    FOUND["tried"] = tried
    """
    found = in_fresh_process(TOOLS + dedented(script), models, librosa=True)
    assert found["stock"] == OF_STOCK
    assert found["ours"] == found["replaced"] == OF_OURS
    assert found["official"] == PIPELINE
    assert found["trainer"] == "frcrn.plugin.trainer"
    assert found["tried"] == []


def test_without_what_the_stock_modules_need(models: Path) -> None:
    script = """
    without("librosa")
    with closed_network() as tried:
        import frcrn.plugin
        frcrn.plugin.replace_stock()
        FOUND["replaced"] = registered("speech_frcrn_ans_cirm_16k")
        FOUND["official"], FOUND["ours"] = enhance("official"), enhance("ours")
    FOUND["tried"] = tried
    """
    found = in_fresh_process(TOOLS + dedented(script), models)
    assert found["replaced"] == OF_OURS
    assert found["official"] == found["ours"] == PIPELINE
    assert found["tried"] == []


def clone(folder: Path) -> None:
    """Put a copy of the repository there, with files that cannot be imported among those for developers."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "demo", "runs", "shared")
    shutil.copytree(ROOT, folder, ignore=left_out)
    for part in FOR_DEVELOPERS:
        (folder / part / "broken.py").write_text("import no_such_package\n")


@pytest.mark.parametrize("name", ["saved", *(slow(each) for each in ("frcrn", "repository"))])
def test_a_directory_runs_as_remote_code(name: str, models: Path, tmp_path: Path) -> None:
    """Without an import of ours: the framework copies and imports every Python file of the directory."""
    if name == "saved":
        shutil.copytree(models / "ours", tmp_path / name)
    else:
        clone(tmp_path / name)
    shutil.copy(models / "noisy.wav", tmp_path)
    script = f"""
    import os
    os.environ["MODELSCOPE_CACHE"] = str(FOLDER / "cache")
    without({", ".join(map(repr, DEVELOPERS_PACKAGES))})
    with closed_network() as tried:
        try:
            enhance({name!r})
        except RuntimeError as error:
            FOUND["refused"] = str(error)
        FOUND["pipeline"] = enhance({name!r}, trust_remote_code=True)
        FOUND["again"] = enhance({name!r})
    FOUND["for developers"] = [
        name for name, module in sys.modules.items() for part in {FOR_DEVELOPERS}
        if name.startswith(f"{name}.{{part}}.") and hasattr(module, "__file__")
    ]
    import frcrn
    FOUND["class"] = type(frcrn.load()).__module__
    from frcrn.models.checkpoint import save_directory
    made = frcrn.FRCRN(frcrn.FRCRNConfig.tiny())
    save_directory(made, FOLDER / "saved")
    FOUND["loaded"] = type(frcrn.load(FOLDER / "saved")) is type(made)
    FOUND["tried"] = tried
    """
    found = in_fresh_process(TOOLS + dedented(script), tmp_path)
    assert "trust_remote_code=True" in found["refused"]
    assert found["pipeline"] == found["again"] == PIPELINE
    assert found["for developers"] == []
    assert found["class"] == "frcrn.models.frcrn" and found["loaded"]
    assert found["tried"] == []


def test_what_is_for_developers_is_left_out_of_the_remote_code() -> None:
    folders = {path.parent for path in ROOT.glob("[!.]*/*.py")} - {ROOT / "frcrn"}
    assert {folder.name for folder in folders} == {*FOR_DEVELOPERS, *LOOSE}
    for folder in (ROOT / name for name in FOR_DEVELOPERS):
        assert "\nleave_out(__name__)\n" in (folder / "__init__.py").read_text(), folder.name


def test_without_the_framework_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    script = """
    without("modelscope")
    try:
        import frcrn.plugin
    except ImportError as error:
        FOUND["error"], FOUND["kind"] = str(error), type(error).__name__
    """
    found = in_fresh_process(dedented(script), tmp_path)
    assert found["kind"] == "MissingPackage"
    assert 'pip install "frcrn[modelscope]"' in found["error"] and "\n" not in found["error"]


def test_the_library_alone_does_not_load_the_framework(tmp_path: Path) -> None:
    script = """
    import frcrn
    FOUND["loaded"] = [name for name in ("modelscope", "datasets", "transformers") if name in sys.modules]
    """
    assert in_fresh_process(dedented(script), tmp_path)["loaded"] == []


def test_no_directory_of_ours_makes_the_framework_install_anything() -> None:
    assert "plugins" not in (ROOT / "configuration.json").read_text()
    assert not [path.name for path in ROOT.iterdir() if "requirement" in path.name]
