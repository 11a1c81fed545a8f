"""Which package a module comes from, where the two have different names."""

from __future__ import annotations

import re

_PACKAGES = {
    "absl": "absl-py",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "hydra": "hydra-core",
    "igraph": "python-igraph",
    "ignite": "pytorch-ignite",
    "imblearn": "imbalanced-learn",
    "IPython": "ipython",
    "jwt": "pyjwt",
    "lightning_fabric": "lightning",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "OpenGL": "pyopengl",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "pylab": "matplotlib",
    "pywt": "pywavelets",
    "serial": "pyserial",
    "sentencepiece_model_pb2": "sentencepiece",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
_MODULE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,80}(\.[A-Za-z0-9_]{1,80}){0,10}", re.ASCII)


def package_of(module: str) -> str | None:
    """The package that a module most likely comes from; None for what is no module's plain name."""
    if _MODULE.fullmatch(module) is None:
        return None
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        known = _PACKAGES.get(".".join(parts[:length]))
        if known is not None:
            return known
    return parts[0].strip("_").replace("_", "-").lower()
