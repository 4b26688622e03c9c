"""What `make benchmarks` runs, and by which command each figure of docs/results.md came."""

from __future__ import annotations

from dataclasses import dataclass

_FEW = "--rows 5000"


@dataclass(frozen=True)
class Job:
    """A benchmark.

    Attributes
    ----------
    name : str
        Of its result file.
    command : str
        Module and arguments of the published run.
    quick : str or None
        Further arguments of the quick run; None where there is none.
    resumes : bool
        Whether it knows itself which of its rows it has.
    """

    name: str
    command: str
    quick: str | None = ""
    resumes: bool = False

    @property
    def line(self) -> str:
        """What to type for the published run."""
        return f"{'FULL=1 ' if self.resumes else ''}python -m benchmarks.{self.command}"


JOBS = (
    Job("pca", "pca", "--sets iris wine digits segmentation spambase --seeds 0"),
    Job("pca_60", "pca --training-rows 60 --name pca_60", None),
    Job("pca_200", "pca --training-rows 200 --name pca_200", None),
    Job("hard_rows", "hard_rows", "--rows 200 --seeds 0 1"),
    Job("speed", "speed", "--quick"),
    Job("default_fit", "pca --sets iris --seeds 0 --mnist --name default_fit", None),
    Job("mnist30", "mnist30", f"{_FEW} --epochs 5"),
    Job("sparse", "sparse", f"--parts kl topk {_FEW} --epochs 3"),
    Job("denoising", "denoising", "--parts score --seeds 0"),
    Job("contractive", "contractive", f"{_FEW} --epochs 2 --fine-tuning 5"),
    Job("strength", "strength", "--units 50"),
    Job(
        "vae",
        "vae --static-epochs 80",
        f"{_FEW} --static-epochs 3 --stochastic-epochs 3 --test-rows 200",
    ),
    Job("generation", "generation"),
    Job("depth", "depth --only ways --seconds 30 --rows 30000", f"{_FEW} --seconds 5"),
    Job("depth_layers", "depth --only layers --name depth_layers", None),
    Job("labels", "labels", f"{_FEW} --labels 100 --seeds 0 --epochs 2"),
    Job("conv", "conv --seconds 90", f"{_FEW} --sets mnist --seconds 10"),
    Job(
        "conv_dense",
        'conv --methods "Autoencoder, as many parameters" --seconds 85 --name conv_dense',
        None,
    ),
    Job("hashing", "hashing", "--parts look-ups"),
    Job("hashing_memory", "hashing --parts memory --name hashing_memory", None),
    Job("psd", "psd", _FEW),
    Job("tsne", "tsne", resumes=True),
    Job("tsne_whole", "tsne_whole --jobs 1", "--sets mnist --most 3000", resumes=True),
    Job("pipeline", "pipeline", resumes=True),
    Job(
        "pipeline_pixels",
        "pipeline --unscaled --sets digits usps mnist fashion_mnist "
        "--methods PCA Autoencoder --name pipeline_pixels",
        None,
        resumes=True,
    ),
    Job("figures", "figures", "--set digits"),
)
# On the page, but not in every run: they need another CPU, or another package.
ELSEWHERE = (
    Job("speed_second_cpu", "speed --name speed_second_cpu"),
    Job(
        "vae_pythae",
        "vae --only classical pythae --static-epochs 25 --test-rows 1000 --name vae_pythae",
    ),
)
