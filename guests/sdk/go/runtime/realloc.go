//go:build wasip1

package runtime

import "unsafe"

// Before the runtime has started, its heap cannot be used; what starts it needs one page and a few strings.
var (
	early     [192 << 10]byte
	earlyUsed uintptr
	isStarted bool
)

func init() {
	isStarted = true
}

// The host asks for memory here, for arguments and answers of imports. It never asks to move what it has.
//
//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("memory of the host is not moved")
	}
	if isStarted {
		return give(size, align)
	}
	start := unsafe.Pointer(&early)
	begin := earlyUsed + gap(uintptr(start)+earlyUsed, align)
	if begin+size > uintptr(len(early)) {
		panic("no memory before the start")
	}
	earlyUsed = begin + size
	return unsafe.Add(start, begin)
}
