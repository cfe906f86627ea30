package lp

// order finds an order of elimination for a symmetric matrix that leaves its factor sparse:
// the node of the least approximate degree first, with the eliminated nodes kept as elements
// (P. Amestoy, T. Davis, I. Duff, SIAM J. Matrix Analysis 17(4), 1996, without their merging
// of nodes that look the same). adjacent has the neighbours of each node, without itself; it
// is used up.
func order(adjacent [][]int32) []int32 {
	n := len(adjacent)
	g := elimination{
		nodes: adjacent, elements: make([][]int32, n), members: make([][]int32, n),
		degree: make([]int32, n), seen: make([]int32, n), outside: make([]int32, n), stamp: make([]int32, n),
		heads: make([]int32, n+1), next: make([]int32, n), prev: make([]int32, n), gone: make([]bool, n),
	}
	for i := range g.heads {
		g.heads[i] = -1
	}
	for i := n - 1; i >= 0; i-- {
		g.degree[i] = int32(len(adjacent[i]))
		g.enlist(int32(i))
	}
	out := make([]int32, 0, n)
	for least := int32(0); len(out) < n; {
		for g.heads[least] < 0 {
			least++
		}
		p := g.heads[least]
		g.delist(p)
		g.eliminate(p, int32(n-len(out)-1))
		out = append(out, p)
		for _, i := range g.members[p] {
			least = min(least, g.degree[i])
		}
	}
	return out
}

// elimination is the graph of what is left: nodes, and elements, which stand for all edges
// among their members.
type elimination struct {
	nodes    [][]int32 // by node: neighbours that no element accounts for
	elements [][]int32 // by node: those that it is a member of
	members  [][]int32 // by element
	degree   []int32   // at most
	gone     []bool    // eliminated

	seen    []int32 // by node: the element that was made of it, plus 1, when it was met last
	outside []int32 // by element: members that are not in the new one
	stamp   []int32 // by element: for which new one, plus 1, outside is good

	heads, next, prev []int32 // nodes by degree
}

func (g *elimination) enlist(i int32) {
	d := g.degree[i]
	g.next[i], g.prev[i] = g.heads[d], -1
	if h := g.heads[d]; h >= 0 {
		g.prev[h] = i
	}
	g.heads[d] = i
}

func (g *elimination) delist(i int32) {
	if g.prev[i] >= 0 {
		g.next[g.prev[i]] = g.next[i]
	} else {
		g.heads[g.degree[i]] = g.next[i]
	}
	if g.next[i] >= 0 {
		g.prev[g.next[i]] = g.prev[i]
	}
}

// eliminate makes an element of p, after which left nodes are left.
func (g *elimination) eliminate(p, left int32) {
	mark := p + 1
	g.gone[p] = true
	g.seen[p] = mark
	var around []int32
	meet := func(list []int32) {
		for _, i := range list {
			if !g.gone[i] && g.seen[i] != mark {
				g.seen[i] = mark
				around = append(around, i)
			}
		}
	}
	meet(g.nodes[p])
	for _, e := range g.elements[p] {
		meet(g.members[e])
		g.members[e] = nil // it is part of the new one
	}
	g.members[p] = around
	for _, i := range around {
		kept := g.elements[i][:0]
		for _, e := range g.elements[i] {
			if g.members[e] == nil {
				continue
			}
			kept = append(kept, e)
			if g.stamp[e] != mark {
				g.stamp[e], g.outside[e] = mark, g.size(e)
			}
			g.outside[e]--
		}
		g.elements[i] = append(kept, p)
	}
	n := int32(len(around))
	for _, i := range around {
		g.delist(i)
		kept := g.nodes[i][:0]
		for _, k := range g.nodes[i] {
			if !g.gone[k] && g.seen[k] != mark {
				kept = append(kept, k)
			}
		}
		g.nodes[i] = kept
		d := int32(len(kept)) + n - 1
		for _, e := range g.elements[i] {
			if e != p {
				d += g.outside[e]
			}
		}
		g.degree[i] = max(0, min(d, g.degree[i]+n-1, left-1))
		g.enlist(i)
	}
	g.nodes[p], g.elements[p] = nil, nil
}

// size is how many members of an element are left, which it is told on the way.
func (g *elimination) size(e int32) int32 {
	kept := g.members[e][:0]
	for _, i := range g.members[e] {
		if !g.gone[i] {
			kept = append(kept, i)
		}
	}
	g.members[e] = kept
	return int32(len(kept))
}
