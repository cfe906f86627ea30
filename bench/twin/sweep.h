// The sweep of yunchu/twin/kernel in C with AVX-512 intrinsics, to measure the
// assembly against: the same operations in the same order on the same memory, so
// that the results are the same bits. The names are those of portable.go there.
#include <immintrin.h>
#include <stdint.h>

#define LANES 8

typedef double row[LANES];

typedef struct {
	row Z, V1, V2, H, T;
	row PerA, Bleed, Heat;
	row From, To, U0, DU, M0, DM, E0, DE, R0, DR;
	row T0, InvT2, G0, G1, G2;
	row UM, US, OV, RB, R1, R2, TE, TM;
	row Lost;
	row InvQ;
} slot;

typedef struct {
	double Next, Air, Coolant;
} place;

typedef struct {
	row I, Ip;
	row Air, Coolant, AirK, CoolantK;
	row A, B;
	row Stored, Over, Entropic, Bled, ToAir, ToCoolant;
	row VMin, VMax, TMin, TMax, ZMin, ZMax;
	row AirT, CoolantT, Flow;
	int64_t Corrected;
} drive;

typedef struct {
	int32_t slot, lanes;
} rare;

typedef struct {
	double Dt, DtC, HalfC, Eta;
	double Gain[2], Mean[2], Late[2];
	double Stay[5], Move[5], Grow[3][2];
	double Stale, Gamma;
} tick;

#ifdef __AVX512DQ__

#define LOAD(x) _mm512_loadu_pd(x)
#define STORE(x, v) _mm512_storeu_pd(x, v)
#define ALL(x) _mm512_set1_pd(x)
#define ADD _mm512_add_pd
#define SUB _mm512_sub_pd
#define MUL _mm512_mul_pd
#define FMA _mm512_fmadd_pd   // a*b + c
#define FMS _mm512_fmsub_pd   // a*b - c
#define FNMA _mm512_fnmadd_pd // c - a*b
#define MIN _mm512_min_pd
#define MAX _mm512_max_pd

enum { has_sweep = 1 };

typedef __m512d vec;

// charge is the move of the state of charge with current i.
typedef struct {
	vec perA, dz, sign, size;
} charge;

static inline charge move(vec i, vec perA, double eta) {
	charge c;
	__mmask8 out = _mm512_movepi64_mask(_mm512_castpd_si512(i));
	c.perA = _mm512_mask_blend_pd(out, MUL(ALL(eta), perA), perA);
	c.dz = MUL(i, c.perA);
	c.sign = _mm512_or_pd(_mm512_and_pd(i, ALL(-0.0)), ALL(1));
	c.size = _mm512_abs_pd(c.dz);
	return c;
}

static inline vec horner(vec y, const double *c, double c0) {
	vec high = FMA(y, ALL(c[4]), ALL(c[3])), low = FMA(y, ALL(c[2]), ALL(c[1]));
	return FMA(y, FMA(MUL(y, y), high, low), ALL(c0));
}

// expect is where the charge goes in the next step, and the hysteresis on average.
typedef struct {
	vec i, perA, z, zp, h;
} expected;

static inline expected expect(const slot *c, const tick *k, const drive *d) {
	expected w;
	w.i = SUB(LOAD(d->Ip), LOAD(c->Bleed)), w.z = LOAD(c->Z);
	charge x = move(w.i, LOAD(c->PerA), k->Eta);
	w.perA = x.perA, w.zp = ADD(w.z, x.dz);
	w.h = FMA(SUB(LOAD(c->H), x.sign), horner(x.size, k->Stay, 1), x.sign);
	return w;
}

static inline void predict(slot *c, const tick *k, expected w, vec *A, vec *B) {
	vec z2 = ADD(w.z, w.zp), i = w.i, t = LOAD(c->T);
	vec de = LOAD(c->DE), e = FMA(de, z2, LOAD(c->E0)), r = FMA(LOAD(c->DR), z2, LOAD(c->R0));
	vec ov = FMA(w.h, FMA(LOAD(c->DM), z2, LOAD(c->M0)), FMA(LOAD(c->V1), ALL(k->Mean[0]), MUL(LOAD(c->V2), ALL(k->Mean[1]))));
	STORE(c->OV, ov);

	vec g0 = MUL(LOAD(c->G0), r), v = ADD(ov, FMA(g0, i, MUL(t, e)));
	vec tm = FMA(ALL(k->HalfC), FMA(i, v, SUB(LOAD(c->Heat), LOAD(c->Lost))), t);
	STORE(c->TM, tm);

	vec te = MUL(tm, e), du = LOAD(c->DU), us = MUL(FMA(tm, de, du), w.perA);
	vec um = FNMA(us, i, ADD(FMA(du, z2, LOAD(c->U0)), te));
	STORE(c->TE, te);
	STORE(c->US, us);
	STORE(c->UM, um);

	vec y = MUL(SUB(tm, LOAD(c->T0)), LOAD(c->InvT2));
	vec r0 = MUL(g0, FMA(y, FMA(y, ALL(k->Grow[0][1]), ALL(k->Grow[0][0])), ALL(1)));
	vec r1 = MUL(MUL(LOAD(c->G1), r), FMA(y, FMA(y, ALL(k->Grow[1][1]), ALL(k->Grow[1][0])), ALL(1)));
	vec r2 = MUL(MUL(LOAD(c->G2), r), FMA(y, FMA(y, ALL(k->Grow[2][1]), ALL(k->Grow[2][0])), ALL(1)));
	vec rb = FMA(r2, ALL(k->Late[1]), FMA(r1, ALL(k->Late[0]), r0)), b = ADD(us, rb);
	STORE(c->R1, r1);
	STORE(c->R2, r2);
	STORE(c->RB, rb);
	*A = ADD(*A, FNMA(b, LOAD(c->Bleed), ADD(um, ov)));
	*B = ADD(*B, b);
}

static int64_t sweep(slot *s, const place *places, const tick *k, drive *d, int64_t from, int64_t to, rare *list) {
	vec A = LOAD(d->A), B = LOAD(d->B), stored = LOAD(d->Stored), sumOver = LOAD(d->Over), entropic = LOAD(d->Entropic);
	vec bled = LOAD(d->Bled), toAir = LOAD(d->ToAir), toCoolant = LOAD(d->ToCoolant), flow = LOAD(d->Flow);
	vec vMin = LOAD(d->VMin), vMax = LOAD(d->VMax), tMin = LOAD(d->TMin), tMax = LOAD(d->TMax), zMin = LOAD(d->ZMin), zMax = LOAD(d->ZMax);
	int64_t listed = 0;
	for (int64_t n = from; n < to; n++) {
		slot *c = s + n;
		const place *p = places + n;
		if (d->Corrected <= n) {
			vec bleed = LOAD(c->Bleed), i = SUB(LOAD(d->I), bleed);
			charge x = move(i, LOAD(c->PerA), k->Eta);
			vec z = ADD(LOAD(c->Z), x.dz), h = LOAD(c->H), far = SUB(h, x.sign);
			STORE(c->Z, z);
			zMin = MIN(z, zMin), zMax = MAX(z, zMax);
			STORE(c->H, FNMA(MUL(far, x.size), horner(x.size, k->Move, k->Move[0]), h));

			vec v1 = LOAD(c->V1), v2 = LOAD(c->V2);
			STORE(c->V1, FMA(ALL(k->Gain[0]), FMS(LOAD(c->R1), i, v1), v1));
			STORE(c->V2, FMA(ALL(k->Gain[1]), FMS(LOAD(c->R2), i, v2), v2));

			vec u = FMA(LOAD(c->US), i, LOAD(c->UM)), over = FMA(LOAD(c->RB), i, LOAD(c->OV)), v = ADD(u, over);
			stored = FMA(i, u, stored);
			vMin = MIN(v, vMin), vMax = MAX(v, vMax);
			bled = FMA(bleed, v, bled);
			vec qOver = MUL(i, over), qEntropic = MUL(i, LOAD(c->TE));
			sumOver = ADD(sumOver, qOver), entropic = ADD(entropic, qEntropic);

			vec tm = LOAD(c->TM);
			vec air = MUL(ALL(p->Air), FMS(LOAD(d->AirK), tm, LOAD(d->AirT)));
			vec coolant = MUL(ALL(p->Coolant), FMS(LOAD(d->CoolantK), tm, LOAD(d->CoolantT)));
			toAir = ADD(toAir, air), toCoolant = ADD(toCoolant, coolant);
			vec on = MUL(ALL(p->Next), SUB(tm, LOAD(c[1].TM)));
			vec lost = ADD(SUB(ADD(air, coolant), flow), on);
			flow = on;
			STORE(c->Lost, lost);
			vec q = ADD(ADD(qOver, qEntropic), SUB(LOAD(c->Heat), lost));
			vec t = FMA(ALL(k->DtC), q, LOAD(c->T));
			STORE(c->T, t);
			tMin = MIN(t, tMin), tMax = MAX(t, tMax);
			d->Corrected = n + 1;
		}
		expected w = expect(c, k, d);
		__mmask8 lanes = _mm512_cmp_pd_mask(MIN(w.z, w.zp), LOAD(c->From), _CMP_LT_OQ) |
			_mm512_cmp_pd_mask(MAX(w.z, w.zp), LOAD(c->To), _CMP_GT_OQ) |
			_mm512_cmp_pd_mask(_mm512_abs_pd(SUB(LOAD(c->T), LOAD(c->T0))), ALL(k->Stale), _CMP_GT_OQ);
		if (__builtin_expect(lanes, 0)) {
			list[listed].slot = n;
			list[listed++].lanes = lanes;
			continue;
		}
		predict(c, k, w, &A, &B);
	}
	STORE(d->A, A), STORE(d->B, B), STORE(d->Stored, stored), STORE(d->Over, sumOver), STORE(d->Entropic, entropic);
	STORE(d->Bled, bled), STORE(d->ToAir, toAir), STORE(d->ToCoolant, toCoolant), STORE(d->Flow, flow);
	STORE(d->VMin, vMin), STORE(d->VMax, vMax), STORE(d->TMin, tMin), STORE(d->TMax, tMax), STORE(d->ZMin, zMin), STORE(d->ZMax, zMax);
	return listed;
}

static void predict_listed(slot *s, const tick *k, drive *d, const rare *list, int64_t listed) {
	vec A = LOAD(d->A), B = LOAD(d->B);
	for (int64_t n = 0; n < listed; n++) {
		slot *c = s + list[n].slot;
		predict(c, k, expect(c, k, d), &A, &B);
	}
	STORE(d->A, A), STORE(d->B, B);
}

#else

enum { has_sweep = 0 };

static int64_t sweep(slot *s, const place *places, const tick *k, drive *d, int64_t from, int64_t to, rare *list) { return 0; }
static void predict_listed(slot *s, const tick *k, drive *d, const rare *list, int64_t listed) {}

#endif
