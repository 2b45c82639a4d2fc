r"""Spoken sentences and their text, joined without any model of speech.

espeak-ng speaks sentences of a small grammar in several voices; log-mel statistics, which have no weights, are the
features of sound, a small language model gives those of text. No sentence and no voice of the test is among those that
the space was fitted on.

    python examples/spoken_words.py spoken
    python examples/spoken_words.py spoken --encoder facebook/wav2vec2-base
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from canonsim import PairedMoments, fit
from canonsim.data import TablePairs
from canonsim.demo.comparison import RECALLS, Result, compare
from canonsim.demo.encoders import text_encoder
from canonsim.encoders import AudioEncoder, Encoder, LogMelEncoder

# Accent + speaker, no speaker twice. espeak-ng drops a speaker that it does not know, and any after "en-gb", silently:
# "en" is British and takes them.
TRAINING_VOICES = (
    "en+m1",
    "en+Annie",
    "en-us+f1",
    "en-us+m3",
    "en-us+Alex",
    "en-us-nyc+m8",
    "en-gb-scotland+m4",
    "en-gb-scotland+Andrea",
    "en-gb-x-rp+f2",
    "en-gb-x-rp+m6",
    "en-gb-x-gbclan+m7",
    "en-gb-x-gbcwmd+f5",
)
TEST_VOICES = ("en-us+m2", "en+f4", "en-029+f3")
TEST_SHARE = 0.2

# Chosen on voices held out of the training ones. Words have their place in time; what is constant is the voice.
SOUND = {"n_mels": 20, "segments": 16, "statistics": ("mean",), "mean_normalize": True}

# One word of each, in this order, makes a sentence.
GRAMMAR = (
    ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    ("red", "blue", "green", "yellow", "black", "white", "brown", "grey", "purple", "orange"),
    (
        *("birds", "dogs", "cats", "horses", "cows", "sheep", "foxes", "wolves", "bears", "lions", "tigers", "monkeys"),
        *("elephants", "rabbits", "mice", "ducks", "swans", "eagles", "snakes", "frogs", "spiders", "bees", "whales"),
    ),
    ("sit", "sleep", "wait", "play", "stand", "rest", "dance", "sing"),
    ("on", "under", "behind", "near"),
    ("the old", "the new", "the small", "the large", "the quiet", "the empty"),
    (
        *("bridge", "house", "roof", "church", "castle", "school", "station", "market", "hospital", "library", "farm"),
        *("garden", "table", "boat", "train", "tree", "hill", "mountain", "river", "beach"),
    ),
)


def write_sentences(folder: Path | str, count: int = 1500, seed: int = 0) -> tuple[Path, Path]:
    """Speak sentences that are all different, and list them in two tables.

    Parameters
    ----------
    folder : Path or str
        For the sounds (``audio/*.wav``) and the tables; made if it is missing.
    count : int
        Sentences, at least 10; a fifth of them is for the test, spoken by voices of its own.
    seed : int
        Of words, voices, speeds (130 to 190 words a minute) and pitches.

    Returns
    -------
    train, test : Path
        ``train.csv`` and ``test.csv``, columns ``audio`` (relative to the folder), ``text`` and ``voice``.

    Raises
    ------
    FileNotFoundError
        Without espeak-ng.
    ValueError
        For fewer than 10 sentences, or more than the grammar makes.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise FileNotFoundError("espeak-ng is not on PATH; install it (Debian: apt-get install espeak-ng)")
    most = int(np.prod([len(words) for words in GRAMMAR]))
    if not 10 <= count <= most:
        raise ValueError(f"count must be 10 to {most}, got {count}")
    folder = Path(folder)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(most, size=count, replace=False)
    words = np.unravel_index(chosen, [len(words) for words in GRAMMAR])
    texts = [
        " ".join(GRAMMAR[slot][word] for slot, word in enumerate(sentence)) for sentence in zip(*words, strict=True)
    ]
    held_out = round(TEST_SHARE * count)
    tables = []
    for name, start, stop, voices in (
        ("train", held_out, count, TRAINING_VOICES),
        ("test", 0, held_out, TEST_VOICES),
    ):
        rows = [
            {"audio": f"audio/{row:05}.wav", "text": texts[row], "voice": str(rng.choice(voices))}
            for row in range(start, stop)
        ]
        spoken = [(row, int(rng.integers(130, 191)), int(rng.integers(30, 71))) for row in rows]

        def speak(item: tuple[dict[str, str], int, int]) -> None:
            row, speed, pitch = item
            sound = str(folder / row["audio"])
            options = ["-v", row["voice"], "-s", str(speed), "-p", str(pitch), "-w", sound]
            subprocess.run([program, *options, row["text"]], check=True, capture_output=True)  # noqa: S603

        with ThreadPoolExecutor() as pool:
            list(pool.map(speak, spoken))
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, ["audio", "text", "voice"])
            table.writeheader()
            table.writerows(rows)
        tables.append(folder / f"{name}.csv")
    return tables[0], tables[1]


def run(folder: Path, sound: Encoder, text: Encoder) -> list[Result]:
    """Fit on ``train.csv`` of a folder that `write_sentences` made, and measure on ``test.csv``.

    Returns
    -------
    list of Result
        Of `canonsim.demo.comparison.compare`, x the sounds and y the texts: CSA, ASIF, Procrustes, CSA as published,
        chance.
    """
    features = {}
    for split in ("train", "test"):
        table = TablePairs(folder / f"{split}.csv", x="audio:audio", y="text:text")
        rows = [table[row] for row in range(len(table))]
        features[split] = tuple(
            encoder.encode([row[side] for row in rows], progress=True) for side, encoder in (("x", sound), ("y", text))
        )
    moments = PairedMoments(sound.dim, text.dim)
    moments.update(*features["train"])
    return compare(fit(moments), moments, features["train"], features["test"])


def as_text(results: list[Result], items: int) -> str:
    """Write the numbers of both directions for a terminal."""
    heads = "".join(f"{name:>7}" for name in RECALLS)
    lines = [
        f"{items} sentences of the test",
        f"{'':28}{'sound to text':>21}   {'text to sound':>21}",
        f"{'':28}{heads}   {heads}",
    ]
    for result in results:
        forth, back = ("".join(f"{side[name]:7.3f}" for name in RECALLS) for side in (result.x_to_y, result.y_to_x))
        lines.append(f"{result.method:28}{forth}   {back}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Speak the sentences, unless the folder holds them already, and print what is found."""
    parser = argparse.ArgumentParser(description="Join spoken sentences and their text.")
    parser.add_argument(
        "folder", type=Path, help="for the sentences; used as it is where it holds train.csv and test.csv"
    )
    parser.add_argument("--count", type=int, default=1500, help="sentences (1500)")
    parser.add_argument("--seed", type=int, default=0, help="of sentences and voices (0)")
    parser.add_argument(
        "--encoder", help="audio encoder of the Hugging Face Hub, or its folder, for log-mel statistics"
    )
    options = parser.parse_args(arguments)
    try:
        if not all((options.folder / name).is_file() for name in ("train.csv", "test.csv")):
            write_sentences(options.folder, options.count, options.seed)
        sound = AudioEncoder.from_pretrained(options.encoder) if options.encoder else LogMelEncoder(**SOUND)
        results = run(options.folder, sound, text_encoder())
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    items = len((options.folder / "test.csv").read_text(encoding="utf-8").splitlines()) - 1
    print(as_text(results, items))
    return 0


if __name__ == "__main__":
    sys.exit(main())
