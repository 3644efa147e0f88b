"""The gradient as the paper writes it, in NumPy float64: the oracle of the loss tests."""

import itertools

import numpy as np
from scipy import integrate


def margins(logits, labels):
    """m, and the softmax over the classes other than the label (0 at the label)."""
    logits = np.array(logits, np.float64)
    rows = np.arange(len(labels))
    label_logits = logits[rows, labels].copy()
    logits[rows, labels] = -np.inf
    largest = logits.max(-1)
    others = np.exp(logits - largest[:, None])
    total = others.sum(-1)
    return label_logits - largest - np.log(total), others / total[:, None]


def log_p_and_q(m):
    return -np.logaddexp(0, -m), -np.logaddexp(0, m)


# log w as a function of log p and log q, with the paper's names for the parameters.
LOG_WEIGHTS = {
    "CCE": lambda lp, lq: np.log(2) + lq,
    "MAE": lambda lp, lq: np.log(2) + lp + lq,
    "MSE": lambda lp, lq: np.log(4) + lp + 2 * lq,
    "GCE": lambda lp, lq, q: np.log(2) + q * lp + lq,
    "Normal": lambda lp, lq, psi, beta: -beta * np.exp(lp) * (np.exp(lp) - 2 * psi),
    "Exponential": lambda lp, lq, beta: beta * np.exp(lq),
    "Beta": lambda lp, lq, alpha, eta: (alpha - 1) * lp + (eta - 1) * lq,
    "DM": lambda lp, lq, lam, beta: beta * np.exp(lam * lp + lq),
}


def area(edf, parameters):
    """Integral of w over [0, 1], by adaptive quadrature in m (p is singular at its ends)."""

    def integrand(m):
        log_p, log_q = log_p_and_q(m)
        log_w = LOG_WEIGHTS[type(edf).__name__](log_p, log_q, **parameters)
        return np.exp(log_w + log_p + log_q)

    ends = [-400, -40, -15, -8, -5, -3, -1, 0, 1, 3, 5, 8, 15, 40, 400]
    pieces = itertools.pairwise(ends)
    return sum(integrate.quad(integrand, *ends, epsabs=0, epsrel=1e-11)[0] for ends in pieces)


def gradient(logits, labels, log_weight, *, normalization, where=None, saturation=1e-6, log_area=0):
    """Gradient by the logits of the mean loss over the unmasked examples (float64)."""
    m, others = margins(logits, labels)
    lp, lq = log_p_and_q(m)
    counted = np.ones(len(labels), bool) if where is None else np.asarray(where)
    log_w = np.where(counted, log_weight(lp, lq), -np.inf)
    if normalization == "batch":
        largest = log_w.max()
        log_scale = -largest - np.log(np.exp(log_w - largest).sum())
    else:
        log_scale = -np.log(counted.sum()) - (log_area if normalization == "density" else 0)
    log_s = lq - np.logaddexp(lq, np.log(saturation / 2)) if saturation else 0
    size = np.exp(log_w + log_scale + log_s)
    direction = others / 2
    direction[np.arange(len(labels)), labels] = -0.5
    return size[:, None] * direction
