;; Lets every record pass, but for one of quantity 13: there it does what stands for FAULT. Made into a module for each
;; fault by faults.rs, which puts the exports of a module with state in the place of STATE.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $pollable (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core module $code
    (func $subscribe (import "clock" "subscribe") (param i64) (result i32))
    (func $block (import "clock" "block") (param i32))
    (memory (export "memory") 4)
    (global $free (mut i32) (i32.const 4096))
    ;; How many records have passed: the state, for those who lift it.
    (global $passed (mut i32) (i32.const 0))
    ;; How many answers, if they are not as many as the records.
    (global $answers (mut i32) (i32.const -1))
    ;; Memory is given out from one end, and taken back when the call is over. The answers stand behind it.
    (func (export "cabi_realloc") (param i32 i32 i32) (param $bytes i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $free))
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get $bytes)) (i32.const 7)) (i32.const -8)))
      (local.get $at))
    (func (export "process") (param $records i32) (param $len i32) (result i32)
      (local $i i32)
      (local $answer i32)
      (global.set $free (i32.const 4096))
      (block $end
        (loop $next
          (br_if $end (i32.ge_u (local.get $i) (local.get $len)))
          ;; An answer is a tag, 0 for ok, and a text, of which only an err has one.
          (local.set $answer (i32.add (i32.const 131072) (i32.mul (local.get $i) (i32.const 12))))
          (if (i32.eq (i32.load (i32.add (local.get $records) (i32.mul (local.get $i) (i32.const 4)))) (i32.const 13))
            (then FAULT))
          (global.set $passed (i32.add (global.get $passed) (i32.const 1)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next)))
      (i32.store (i32.const 16) (i32.const 131072))
      (i32.store (i32.const 20)
        (select (local.get $len) (global.get $answers) (i32.eq (global.get $answers) (i32.const -1))))
      (i32.const 16))
    (func (export "snapshot") (result i32)
      (i32.store (i32.const 32) (i32.const 40))
      (i32.store (i32.const 36) (i32.const 4))
      (i32.store (i32.const 40) (global.get $passed))
      (i32.const 32))
    (func (export "restore") (param $state i32) (param $len i32) (result i32)
      (global.set $passed (i32.load (local.get $state)))
      (i32.store (i32.const 48) (i32.const 0))
      (i32.const 48)))
  (core instance $running (instantiate $code
    (with "clock" (instance (export "subscribe" (func $subscribe)) (export "block" (func $block))))))
  (type $product' (record (field "quantity" s32)))
  (export $product "product" (type $product'))
  (type $products (list $product))
  (type $answer (result (error string)))
  (type $answers (list $answer))
  (func $process (param "records" $products) (result $answers)
    (canon lift (core func $running "process") (memory (core memory $running "memory"))
      (realloc (core func $running "cabi_realloc"))))
  (export "process" (func $process))
  ;; STATE
)
