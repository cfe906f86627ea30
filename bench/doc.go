// Package bench measures the parts together: the whole runtime on the virtual
// clock, and the paths of data through a plant. What one package does alone is
// measured beside its code.
package bench
