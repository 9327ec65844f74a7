//! One running copy of a module, with its memory. Used by one thread at a time, thrown away after any fault.

use std::sync::Arc;

use bespoke_boundary::{Answers, Entry, Exchange, Plan};
use bytes::Bytes;
use wasmtime::Store;
use wasmtime::component::{Instance as Raw, TypedFunc};

use super::Limits;
use super::fault::{Fault, FaultKind};
use super::load::{Module, StateType};
use super::output::Output;
use super::sandbox::State;

type Refusal = (Result<(), String>,);

/// A running copy of a module.
pub struct Instance {
    module: Arc<Module>,
    store: Store<State>,
    entry: Entry,
    state: Option<StateFunctions>,
}

/// `snapshot` and `restore` in the type that the module chose.
enum StateFunctions {
    Bytes(TypedFunc<(), (Vec<u8>,)>, TypedFunc<(Vec<u8>,), Refusal>),
    Text(TypedFunc<(), (String,)>, TypedFunc<(String,), Refusal>),
}

impl Instance {
    /// Instantiates a module and hands it its settings.
    ///
    /// # Errors
    /// A trap in start-up or in `configure`, or settings that the module refuses.
    pub fn new(module: &Arc<Module>, settings: &[(String, String)]) -> Result<Self, Fault> {
        let output = Output::new(module.name.clone(), module.lines.clone());
        let mut store = Store::new(&module.engine, State::new(output, module.limits, module.time.clone()));
        store.limiter(|state| state);
        State::begin(&mut store);
        let fault = |store: &Store<State>, function: &str, error: &wasmtime::Error| {
            Fault::of(function, error, module.limits.time_ms, &store.data().output.tail())
        };
        let raw = module.pre.instantiate(&mut store);
        let raw = raw.and_then(|raw| store.data().check_time().map(|()| raw));
        let raw = raw.map_err(|e| fault(&store, "start", &e))?;
        let function = module.signature().function.name();
        let bound = bind(module, &mut store, &raw).map_err(|e| fault(&store, function, &e))?;
        let mut instance = Self { module: module.clone(), store, entry: bound.0, state: bound.1 };
        if module.configure {
            let refusal = instance.guarded("configure", |store| {
                let configure = raw.get_typed_func::<(&[(String, String)],), Refusal>(&mut *store, "configure")?;
                configure.call(store, (settings,))
            })?;
            refused("configure", refusal)?;
        } else if !settings.is_empty() {
            let (module, settings) = (instance.module.name(), settings.len());
            tracing::warn!(module, settings, "the module has no `configure`; its settings are not used");
        }
        Ok(instance)
    }

    /// Calls `process` or `analyze` with what was pushed into the exchange.
    ///
    /// # Errors
    /// Everything that makes the whole batch fail; then the instance must not be used again, unless the kind is
    /// [`FaultKind::Refused`].
    pub fn call<'e>(
        &mut self,
        exchange: &'e mut Exchange,
        plan: &Arc<Plan>,
        arena: &Bytes,
    ) -> Result<&'e Answers, Fault> {
        self.store.data().output.forget();
        State::begin(&mut self.store);
        let limits = self.module.limits;
        let function = plan.signature().function.name();
        let called = exchange.call(&self.entry, &mut self.store, plan, arena, limits.answer_bytes);
        match called.and_then(|answers| self.store.data().check_time().map(|()| answers)) {
            Ok(answers) => match &answers.failed {
                None => Ok(answers),
                Some(reason) => {
                    let reason = format!("{function}: refused the batch: {}", Fault::shortened(reason));
                    Err(Fault { kind: FaultKind::Refused, reason })
                }
            },
            Err(error) => Err(Fault::of(function, &error, limits.time_ms, &self.store.data().output.tail())),
        }
    }

    /// The state, if the module keeps one.
    ///
    /// # Errors
    /// A trap in `snapshot`.
    pub fn snapshot(&mut self) -> Result<Option<Bytes>, Fault> {
        let Limits { answer_bytes: limit, memory_bytes, .. } = self.module.limits;
        let state = match &self.state {
            None => return Ok(None),
            Some(StateFunctions::Bytes(snapshot, _)) => {
                let snapshot = *snapshot;
                Bytes::from(
                    self.guarded("snapshot", |store| whole(store, memory_bytes, |store| snapshot.call(store, ())))?.0,
                )
            }
            Some(StateFunctions::Text(snapshot, _)) => {
                let snapshot = *snapshot;
                Bytes::from(
                    self.guarded("snapshot", |store| whole(store, memory_bytes, |store| snapshot.call(store, ())))?.0,
                )
            }
        };
        if state.len() > limit {
            let what = "`limits.answer_mb` of the stage is for states too";
            let reason = format!("snapshot: the state has {} bytes, and its limit is {limit}; {what}", state.len());
            return Err(Fault { kind: FaultKind::Answer, reason });
        }
        Ok(Some(state))
    }

    /// Linear memory that it has by now, in bytes. It never becomes less, so this is the most that it had, too.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory_bytes()
    }

    /// Hands a state over.
    ///
    /// # Errors
    /// A trap in `restore`, or a state that the module refuses.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), Fault> {
        let refusal = match &self.state {
            None => return Ok(()),
            Some(StateFunctions::Bytes(_, restore)) => {
                let restore = *restore;
                self.guarded("restore", |store| restore.call(store, (state.to_vec(),)))?
            }
            Some(StateFunctions::Text(_, restore)) => {
                let restore = *restore;
                let text = String::from_utf8(state.to_vec()).map_err(|_| Fault {
                    kind: FaultKind::Refused,
                    reason: "restore: the module takes text, and the state is not UTF-8".to_owned(),
                })?;
                self.guarded("restore", |store| restore.call(store, (text,)))?
            }
        };
        refused("restore", refusal)
    }

    fn guarded<R>(
        &mut self,
        function: &str,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.store.data().output.forget();
        State::begin(&mut self.store);
        let called = call(&mut self.store);
        called
            .and_then(|answer| self.store.data().check_time().map(|()| answer))
            .map_err(|e| Fault::of(function, &e, self.module.limits.time_ms, &self.store.data().output.tail()))
    }
}

fn bind(module: &Module, store: &mut Store<State>, raw: &Raw) -> wasmtime::Result<(Entry, Option<StateFunctions>)> {
    let export = &*module.export;
    let func = raw.get_func(&mut *store, export).ok_or_else(|| wasmtime::format_err!("no export `{export}`"))?;
    let entry = Entry::new(&mut *store, &func, module.signature())?;
    let state = match module.state {
        None => None,
        Some(StateType::Bytes) => Some(StateFunctions::Bytes(
            raw.get_typed_func(&mut *store, "snapshot")?,
            raw.get_typed_func(&mut *store, "restore")?,
        )),
        Some(StateType::Text) => Some(StateFunctions::Text(
            raw.get_typed_func(&mut *store, "snapshot")?,
            raw.get_typed_func(&mut *store, "restore")?,
        )),
    };
    Ok((entry, state))
}

/// Calls what may hand over as much as the module has memory for. How much of it is taken is for the caller to say.
fn whole<R>(
    store: &mut Store<State>,
    memory_bytes: usize,
    call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> wasmtime::Result<R> {
    store.set_hostcall_fuel(memory_bytes);
    call(store)
}

fn refused(function: &str, (answer,): Refusal) -> Result<(), Fault> {
    answer.map_err(|reason| {
        let reason = format!("{function}: refused: {}", Fault::shortened(&reason));
        Fault { kind: FaultKind::Refused, reason }
    })
}
