// Package runtime is what the generated code of a module calls: the memory that host and module hand each other.
//
// While the host asks for memory it may not be called back, not even for the time, and Go's collector wants to know the
// time. So the collector runs at one place only: when a call begins and all that the host gave has been taken over. Until
// then nothing may be collected; what is handed out comes in large chunks, which the strings and slices in them keep alive.
package runtime

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"unsafe"
)

const (
	// Memory for the host is cut from chunks of this size.
	chunkBytes = 256 << 10
	// What is larger than this part of a chunk has memory of its own.
	largeBytes = chunkBytes / 4
	// Below this the heap is never collected.
	minHeapBytes = 64 << 20
)

var (
	chunk []byte
	used  uintptr
	// Since the last look at the heap the host asked for so much that another is due.
	isDue bool
	// Large pieces, until their call has begun.
	large [][]byte
	// The heap is collected when it is larger than this.
	limitBytes uint64 = minHeapBytes
	heap              = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
)

func init() {
	debug.SetGCPercent(-1)
}

// give is a piece of memory for the host.
func give(size, align uintptr) unsafe.Pointer {
	if size > largeBytes {
		isDue = true
		piece := make([]byte, size+align)
		large = append(large, piece)
		start := unsafe.Pointer(unsafe.SliceData(piece))
		return unsafe.Add(start, gap(uintptr(start), align))
	}
	if chunk != nil {
		start := unsafe.Pointer(unsafe.SliceData(chunk))
		begin := used + gap(uintptr(start)+used, align)
		if begin+size <= chunkBytes {
			used = begin + size
			return unsafe.Add(start, begin)
		}
	}
	// The old chunk lives as long as something in it is in use.
	isDue = true
	large = append(large, chunk)
	chunk = make([]byte, chunkBytes)
	start := unsafe.Pointer(unsafe.SliceData(chunk))
	begin := gap(uintptr(start), align)
	used = begin + size
	return unsafe.Add(start, begin)
}

// gap is how far an address is from the next that is aligned.
func gap(address, align uintptr) uintptr {
	return (align - address%align) % align
}

// Unpin is called by the generated code when it has taken over what the host gave, and before the module's function.
func Unpin() {
	clear(large)
	large = large[:0]
	if !isDue {
		return
	}
	isDue = false
	if metrics.Read(heap); heap[0].Value.Uint64() < limitBytes {
		return
	}
	runtime.GC()
	metrics.Read(heap)
	limitBytes = max(minHeapBytes, 2*heap[0].Value.Uint64())
}

// Pinner keeps memory alive: an answer, until the host has read it. Nothing moves in Go's heap, so that is all it has to do. Each
// keeps its own: the generated code has one that never lets go, for what it knows by its address alone.
type Pinner struct{ kept []unsafe.Pointer }

// Pin keeps what this points to.
func (p *Pinner) Pin(pointer unsafe.Pointer) { p.kept = append(p.kept, pointer) }

// Unpin is called when the host has read the answer.
func (p *Pinner) Unpin() {
	clear(p.kept)
	p.kept = p.kept[:0]
}

// Allocate is memory for an answer.
func Allocate(pinner *Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Words are aligned for everything that WIT has.
	words := make([]uint64, (size+7)/8)
	pointer := unsafe.Pointer(unsafe.SliceData(words))
	pinner.Pin(pointer)
	return pointer
}

// Handle is what a module holds of a resource of the host.
type Handle struct{ value int32 }

// MakeHandle takes a resource over.
func MakeHandle(value int32) *Handle { return &Handle{checked(value)} }

// Use is the resource, which stays with the module.
func (h *Handle) Use() int32 { return checked(h.value) }

// Take is the resource, which the module no longer has.
func (h *Handle) Take() int32 {
	value := checked(h.value)
	h.value = 0
	return value
}

// TakeOrNil is the same, or 0 if it is gone already.
func (h *Handle) TakeOrNil() int32 {
	value := h.value
	h.value = 0
	return value
}

// Set puts a resource into an empty handle.
func (h *Handle) Set(value int32) {
	if h.value != 0 {
		panic("the handle has a resource")
	}
	h.value = checked(value)
}

func checked(value int32) int32 {
	if value == 0 {
		panic("the handle has no resource")
	}
	return value
}
