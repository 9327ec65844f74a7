package runtime

import (
	"runtime"
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

// The generated code has the place of its results as a number, which does not keep it alive.
func TestWhatIsKeptForGoodOutlivesAnswersAndTheCollector(t *testing.T) {
	const mark = 0x5eed5eed5eed5eed
	var forGood, forAnAnswer Pinner
	area := uintptr(Allocate(&forGood, 12, 4))
	words := func() *[2]uint64 { return *(**[2]uint64)(unsafe.Pointer(&area)) }
	*words() = [2]uint64{mark, mark}
	var others []unsafe.Pointer
	for range 4 {
		forAnAnswer.Pin(Allocate(&forAnAnswer, 100, 8))
		forAnAnswer.Unpin()
		runtime.GC()
		for range 100_000 {
			others = append(others, Allocate(&Pinner{}, 12, 4))
			*(*[2]uint64)(others[len(others)-1]) = [2]uint64{1, 2}
		}
	}
	if *words() != [2]uint64{mark, mark} {
		t.Fatalf("it is %x", *words())
	}
	runtime.KeepAlive(others)
	runtime.KeepAlive(&forGood)
}
