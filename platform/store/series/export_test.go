package series

// Handle is a file that is read.
type Handle = handle

// Between puts something between the store and its files until restore.
func Between(wrap func(path string, open func(string) (Handle, error)) (Handle, error)) (restore func()) {
	open := openHandle
	openHandle = func(path string) (handle, error) { return wrap(path, open) }
	return func() { openHandle = open }
}
