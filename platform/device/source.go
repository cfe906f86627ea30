package device

import "context"

// Planner is the source of the setpoints of dispatch.
const Planner = "dispatch"

type sourceKey struct{}

// WithSource returns a context that says who asks: user:<name>, token:<name>,
// device:<id>, configuration. What is written to the log under it names the source,
// for the audit.
func WithSource(ctx context.Context, source string) context.Context {
	return context.WithValue(ctx, sourceKey{}, source)
}

// SourceOf is who asks, or empty when the context does not say.
func SourceOf(ctx context.Context) string {
	s, _ := ctx.Value(sourceKey{}).(string)
	return s
}
