package runtime

import (
	"testing"
	"unsafe"
)

func TestMemoryForTheHostIsAlignedAndItsOwn(t *testing.T) {
	type piece struct{ begin, end uintptr }
	var pieces []piece
	for i := range 2000 {
		size, align := uintptr(1+i*7%90_000), uintptr(1)<<(i%4)
		begin := uintptr(give(size, align))
		if begin%align != 0 {
			t.Fatalf("%d is not aligned to %d", begin, align)
		}
		for _, other := range pieces {
			if begin < other.end && other.begin < begin+size {
				t.Fatal("two pieces overlap")
			}
		}
		pieces = append(pieces, piece{begin, begin + size})
	}
	// Their chunks live until the call has begun.
	Unpin()
}

func TestWhatTheModuleKeepsOutlivesTheCall(t *testing.T) {
	kept := make([]string, 0, 100)
	for i := range 100 {
		bytes := unsafe.Slice((*byte)(give(chunkBytes/3, 1)), chunkBytes/3)
		for j := range bytes {
			bytes[j] = byte(i)
		}
		kept = append(kept, unsafe.String(&bytes[0], 10))
		limitBytes = 0
		Unpin()
	}
	for i, text := range kept {
		if text[0] != byte(i) || text[9] != byte(i) {
			t.Fatalf("%d is %q", i, text)
		}
	}
}
