// Package wit has the types that WIT knows and Go does not: what may be absent, what may have failed, tuples.
//
// The zero value of an Option is none, so a slice of options made with make holds nothing but none.
package wit

// Cases, as the generated code tells them apart.
const (
	OptionNone = 0
	OptionSome = 1
	ResultOk   = 0
	ResultErr  = 1
)

// Option is a value, or none.
type Option[T any] struct {
	isSome bool
	value  T
}

// Some is an option with a value.
func Some[T any](value T) Option[T] { return Option[T]{isSome: true, value: value} }

// None is an option without one.
func None[T any]() Option[T] { return Option[T]{} }

// IsSome tells whether there is a value.
func (o Option[T]) IsSome() bool { return o.isSome }

// IsNone tells whether there is none.
func (o Option[T]) IsNone() bool { return !o.isSome }

// Some is the value. It panics if there is none.
func (o Option[T]) Some() T {
	if !o.isSome {
		panic("the option is none")
	}
	return o.value
}

// SomeOr is the value, or another if there is none.
func (o Option[T]) SomeOr(other T) T {
	if o.isSome {
		return o.value
	}
	return other
}

// Tag is the number of the case.
func (o Option[T]) Tag() uint8 {
	if o.isSome {
		return OptionSome
	}
	return OptionNone
}

// Result is a value, or what was wrong.
type Result[T any, E any] struct {
	isErr bool
	value T
	err   E
}

// Ok is a result with a value: Ok[Change, string](change).
func Ok[T any, E any](value T) Result[T, E] { return Result[T, E]{value: value} }

// Err is a result with what was wrong: Err[Change]("no price").
func Err[T any, E any](err E) Result[T, E] { return Result[T, E]{isErr: true, err: err} }

// IsOk tells whether there is a value.
func (r Result[T, E]) IsOk() bool { return !r.isErr }

// IsErr tells whether something was wrong.
func (r Result[T, E]) IsErr() bool { return r.isErr }

// Ok is the value. It panics if something was wrong.
func (r Result[T, E]) Ok() T {
	if r.isErr {
		panic("the result is an err")
	}
	return r.value
}

// Err is what was wrong. It panics if nothing was.
func (r Result[T, E]) Err() E {
	if !r.isErr {
		panic("the result is ok")
	}
	return r.err
}

// Tag is the number of the case.
func (r Result[T, E]) Tag() uint8 {
	if r.isErr {
		return ResultErr
	}
	return ResultOk
}

// Unit is no value: the Ok of a result that only tells whether something was wrong.
type Unit struct{}

// Tuple1 is a tuple of one.
type Tuple1[T0 any] struct{ F0 T0 }

// Tuple2 is a pair, such as an entry of a map: F0 is the key, F1 the value.
type Tuple2[T0, T1 any] struct {
	F0 T0
	F1 T1
}

// Tuple3 is a tuple of three.
type Tuple3[T0, T1, T2 any] struct {
	F0 T0
	F1 T1
	F2 T2
}

// Tuple4 is a tuple of four.
type Tuple4[T0, T1, T2, T3 any] struct {
	F0 T0
	F1 T1
	F2 T2
	F3 T3
}
