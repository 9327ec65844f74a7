//! The one place that touches wasmtime's doc-hidden lowering and lifting.
//!
//! `TypedFunc` is generic over types that know at compile time how they are lowered. Ours is known when a module is
//! loaded. So [`Args`] and [`Answered`] are types without content that only have the right flat shape, and what a call
//! carries lies in a thread-local for its duration ([`Call`]). The parameters of a module's function are always lists,
//! [`Args<N>`] being `N` pairs of pointer and length. The result is always larger than one flat value, so that it stands
//! in memory; [`Answered`] claims the first pointer pair of it, and reads on from there with its own checks.
//!
//! # Safety
//! The `unsafe` traits ask for two things. The flat shape must be right: `typecheck` compares it with the function's type
//! before any call. Memory must stay safe whatever the plan says: all access is through bounds-checked slices.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentNamedList, ComponentType, Func, Lift, Lower, TypedFunc};
use wasmtime::{AsContext, AsContextMut, Result, ValRaw, bail, format_err};

use crate::answer::Answers;
use crate::guest::Guest;
use crate::heap::GuestMemory;
use crate::plan::Plan;
use crate::signature::{MAX_LISTS, Signature};
use crate::stage::Staged;

/// What a call carries in and out.
struct Call {
    plan: Arc<Plan>,
    staged: Staged,
    input: Bytes,
    answers: Answers,
    limit: usize,
}

thread_local! {
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// What is called: a `process` or `analyze` of one instance.
pub struct Entry(Arity);

/// Runs one call. Whatever happens, what was moved in is moved back.
pub(crate) fn run(
    entry: &Entry,
    store: impl AsContextMut,
    plan: &Arc<Plan>,
    staged: &mut Staged,
    input: &Bytes,
    answers: &mut Answers,
    limit: usize,
) -> Result<()> {
    let call = Call {
        plan: plan.clone(),
        staged: std::mem::take(staged),
        input: input.clone(),
        answers: std::mem::take(answers),
        limit,
    };
    CALL.with_borrow_mut(|slot| *slot = Some(call));
    let result = entry.0.call(store);
    if let Some(call) = CALL.with_borrow_mut(Option::take) {
        *staged = call.staged;
        *answers = call.answers;
    }
    result
}

impl Entry {
    /// The function of an instance, whose type was read as `signature`.
    ///
    /// # Errors
    /// If the function has another type.
    pub fn new(store: impl AsContext, func: &Func, signature: &Signature) -> Result<Self> {
        Arity::new(store, func, signature.lists()).map(Self)
    }
}

// === impl Args ===

/// `N` lists as parameters.
struct Args<const N: usize>;

/// SAFETY: `N` pointer pairs are flattened to `2 * N` values and stand in memory as `N` pairs, also where some of them
/// are the fields of a record; `typecheck` makes sure that the parameters are that.
unsafe impl<const N: usize> ComponentType for Args<N> {
    type Lower = [[ValRaw; 2]; N];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::record_static(&[CanonicalAbiInfo::POINTER_PAIR; N]);

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        match lists_of(ty, types) {
            Some(n) if n == N => Ok(()),
            _ => bail!("the parameters are not {N} lists"),
        }
    }
}

/// SAFETY: as for `ComponentType`.
unsafe impl<const N: usize> ComponentNamedList for Args<N> {}

/// SAFETY: every one of the `2 * N` values is written.
unsafe impl<const N: usize> Lower for Args<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let pairs = lower::<T, N>(cx)?;
        dst.write(pairs.map(|(pointer, len)| [ValRaw::i64(i64::from(pointer)), ValRaw::i64(i64::from(len))]));
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, _ty: InterfaceType, offset: usize) -> Result<()> {
        let pairs = lower::<T, N>(cx)?;
        for (i, (pointer, len)) in pairs.into_iter().enumerate() {
            *cx.get::<4>(offset + i * 8) = pointer.to_le_bytes();
            *cx.get::<4>(offset + i * 8 + 4) = len.to_le_bytes();
        }
        Ok(())
    }
}

/// Copies the staged batch into the guest. Pointer and length of every list.
fn lower<T, const N: usize>(cx: &mut LowerContext<'_, T>) -> Result<[(u32, u32); N]> {
    check_strings(cx.options().string_encoding)?;
    CALL.with_borrow_mut(|slot| {
        let Call { staged, input, .. } = slot.as_mut().ok_or_else(|| format_err!("a call outside of `run`"))?;
        let rows = staged.rows.len() as u32;
        let addresses = staged.heap.lower_into(&mut Memory(cx), input, &staged.converted, N)?;
        let mut pairs = [(0, rows); N];
        for (pair, address) in pairs.iter_mut().zip(addresses) {
            pair.0 = *address;
        }
        Ok(pairs)
    })
}

struct Memory<'c, 'a, T: 'static>(&'c mut LowerContext<'a, T>);

impl<T> GuestMemory for Memory<'_, '_, T> {
    type Error = wasmtime::Error;

    #[inline]
    fn allocate(&mut self, align: u32, bytes: usize) -> Result<u32> {
        Ok(self.0.realloc(0, 0, align, bytes)? as u32)
    }

    #[inline]
    fn bytes(&mut self) -> &mut [u8] {
        self.0.as_slice_mut()
    }
}

// === impl Answered ===

/// The result, read while it stands in the guest's memory.
struct Answered;

/// SAFETY: two flat values are more than may be returned directly, so the result is read from memory, where
/// `typecheck` makes sure of at least one pointer pair.
unsafe impl ComponentType for Answered {
    type Lower = [ValRaw; 2];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        let InterfaceType::Tuple(results) = ty else { bail!("not a list of results") };
        let [result] = &*types.types[*results].types else { bail!("not one result") };
        let inner = match result {
            InterfaceType::Result(result) => match (&types.types[*result].ok, &types.types[*result].err) {
                (Some(ok), Some(InterfaceType::String)) => ok,
                _ => bail!("not a result with a string"),
            },
            other => other,
        };
        match lists_of(inner, types) {
            Some(n) if n > 0 => Ok(()),
            _ => bail!("the result is neither a list nor a record of lists"),
        }
    }
}

/// SAFETY: as for `ComponentType`.
unsafe impl ComponentNamedList for Answered {}

/// SAFETY: reads only.
unsafe impl Lift for Answered {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Self::Lower) -> Result<Self> {
        bail!("two values are never returned directly")
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        check_strings(cx.options().string_encoding)?;
        let memory = cx.memory();
        // `bytes` is the part of `memory` in which the result begins.
        let at = (bytes.as_ptr() as usize).wrapping_sub(memory.as_ptr() as usize);
        CALL.with_borrow_mut(|slot| {
            let call = slot.as_mut().ok_or_else(|| format_err!("a call outside of `run`"))?;
            let guest = Guest { memory, limit: call.limit };
            call.plan.lift(guest, at, &call.staged, &call.input, &mut call.answers)?;
            Ok(Self)
        })
    }
}

/// How many lists a type flattens to, if it consists of nothing else.
fn lists_of(ty: &InterfaceType, types: &InstanceType<'_>) -> Option<usize> {
    match ty {
        InterfaceType::List(_) => Some(1),
        InterfaceType::Tuple(tuple) => types.types[*tuple].types.iter().map(|t| lists_of(t, types)).sum(),
        InterfaceType::Record(record) => types.types[*record].fields.iter().map(|f| lists_of(&f.ty, types)).sum(),
        _ => None,
    }
}

fn check_strings(encoding: wasmtime::component::__internal::wasmtime_environ::component::StringEncoding) -> Result<()> {
    use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
    match encoding {
        StringEncoding::Utf8 => Ok(()),
        _ => bail!("the module's strings are not UTF-8; build it with UTF-8 strings"),
    }
}

/// One typed function for each number of lists.
macro_rules! arity {
    ($($name:ident = $n:literal)*) => {
        enum Arity { $($name(TypedFunc<Args<$n>, Answered>)),* }

        impl Arity {
            fn new(store: impl AsContext, func: &Func, lists: usize) -> Result<Self> {
                match lists {
                    $($n => Ok(Self::$name(func.typed(store)?)),)*
                    _ => bail!("a function takes 1 to {MAX_LISTS} lists, not {lists}"),
                }
            }

            fn call(&self, store: impl AsContextMut) -> Result<()> {
                match self {
                    $(Self::$name(func) => func.call(store, Args).map(|_| ()),)*
                }
            }
        }
    };
}

arity! {
    L1 = 1 L2 = 2 L3 = 3 L4 = 4 L5 = 5 L6 = 6 L7 = 7 L8 = 8 L9 = 9 L10 = 10 L11 = 11 L12 = 12 L13 = 13 L14 = 14
    L15 = 15 L16 = 16 L17 = 17 L18 = 18 L19 = 19 L20 = 20 L21 = 21 L22 = 22 L23 = 23 L24 = 24 L25 = 25 L26 = 26
    L27 = 27 L28 = 28 L29 = 29 L30 = 30 L31 = 31 L32 = 32 L33 = 33
}
