#!/usr/bin/env python3
"""Oven tests of an 18650 cell by implicit Runge-Kutta on the plain equations.

    python3 oven.py > oven.csv        (scipy 1.10.1; a quarter of a minute)

Integrates temperature and fractions themselves, as the sources write them, with Radau IIA of fifth order at a relative
tolerance of 1e-11, and again with LSODA at 1e-11; the last two columns are their disagreement. Parameters are those of
case F2 of the reference cases; "lfp" differs from it by the positive electrode, "lco-blown" by the convection.
"""
import sys
import numpy as np
from scipy.integrate import solve_ivp

R, SIGMA = 8.314, 5.670374419e-08
LCO = dict(A_sei=1.667e15, Ea_sei=1.3508e5, q_sei=2.57e5 * 610.4, A_ne=2.5e13, Ea_ne=1.3508e5, q_ne=1.714e6 * 610.4,
           A_pe=6.667e13, Ea_pe=1.396e5, q_pe=3.14e5 * 1221.0, A_e=5.14e25, Ea_e=2.74e5, q_e=1.55e5 * 406.9)
LFP = dict(LCO, A_pe=2.0e8, Ea_pe=1.03e5, q_pe=1.947e5 * 1221.0)
RADIUS, LENGTH, RHO, CP, EPS = 0.009, 0.065, 2580.0, 830.0, 0.8
V, A = np.pi * RADIUS**2 * LENGTH, 2 * np.pi * RADIUS * LENGTH + 2 * np.pi * RADIUS**2
CASES = [("lco", LCO, c, 7.17) for c in (130, 140, 145, 147, 150, 155, 160, 170, 180, 200)] + [
    ("lfp", LFP, c, 7.17) for c in (140, 150, 155, 160, 170, 180, 200, 220)] + [
    ("lco-blown", LCO, c, 50.0) for c in (150, 160, 170)]


def rhs(t, y, p, oven, h):
    T, sei, ne, film, x, e = y
    k = lambda n: p["A_" + n] * np.exp(-p["Ea_" + n] / (R * T))
    d_sei, d_ne, d_x, d_e = k("sei") * sei, k("ne") * np.exp(-film / 0.033) * ne, k("pe") * x * (1 - x), k("e") * e
    q = p["q_sei"] * d_sei + p["q_ne"] * d_ne + p["q_pe"] * d_x + p["q_e"] * d_e
    loss = A * (h * (T - oven) + EPS * SIGMA * (T**4 - oven**4))
    return [(V * q - loss) / (RHO * CP * V), -d_sei, -d_ne, d_ne, d_x, -d_e]


def run(p, oven, h, method):
    hot = lambda t, y, *a: y[0] - 500.0
    top = lambda t, y, *a: rhs(t, y, *a)[0]
    top.direction = -1
    s = solve_ivp(rhs, (0, 7200), [301.15, 0.15, 0.75, 0.033, 0.04, 1.0], method, args=(p, oven, h), rtol=1e-11,
                  atol=[1e-9, 1e-13, 1e-13, 1e-13, 1e-13, 1e-13], events=[hot, top])
    peaks = [(y[0], t) for t, y in zip(s.t_events[1], s.y_events[1])]
    T, t = max(peaks) if peaks else (s.y[0].max(), 7200.0)
    return T, t, (s.t_events[0][0] if len(s.t_events[0]) else float("nan")), s.y[:, -1]


print("set,oven_c,h_w_per_m2k,peak_k,peak_s,t500_s,end_k,end_sei,end_negative,end_film,end_positive,end_electrolyte,off_peak_k,off_t500_s")
for name, p, c, h in CASES:
    a, b = run(p, c + 273.15, h, "Radau"), run(p, c + 273.15, h, "LSODA")
    print(name, c, h, *("%.12g" % v for v in (*a[:3], *a[3], abs(a[0] - b[0]), abs(a[2] - b[2]))), sep=",", flush=True)
    sys.stderr.write(f"{name} {c}: {a[:3]}, off {abs(a[0] - b[0]):.2g} K {abs(a[2] - b[2]):.2g} s\n")
