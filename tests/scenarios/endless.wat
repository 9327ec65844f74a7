;; Lets every record pass, but for one of quantity 13: there it says so and never comes back.
(component
  (import "wasi:logging/logging@0.1.0-draft" (instance $logging
    (type $level' (enum "trace" "debug" "info" "warn" "error" "critical"))
    (export "level" (type $level (eq $level')))
    (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
  (core module $memory
    (memory (export "memory") 4)
    (data (i32.const 8) "about to loop for ever")
    (global $free (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $bytes i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $free))
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get $bytes)) (i32.const 7)) (i32.const -8)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))
  (alias export $logging "log" (func $log))
  (core func $log (canon lower (func $log) (memory (core memory $memory "memory"))))
  (core module $code
    (import "memory" "memory" (memory 4))
    (import "logging" "log" (func $log (param i32 i32 i32 i32 i32)))
    (func (export "process") (param $records i32) (param $len i32) (result i32)
      (local $i i32)
      (block $end
        (loop $next
          (br_if $end (i32.ge_u (local.get $i) (local.get $len)))
          (if (i32.eq (i32.load (i32.add (local.get $records) (i32.mul (local.get $i) (i32.const 4)))) (i32.const 13))
            (then
              ;; Level 2 is info.
              (call $log (i32.const 2) (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 22))
              (loop $ever (br $ever))))
          ;; True: it passes.
          (i32.store8 (i32.add (i32.const 131072) (local.get $i)) (i32.const 1))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next)))
      (i32.store (i32.const 64) (i32.const 131072))
      (i32.store (i32.const 68) (local.get $len))
      (i32.const 64)))
  (core instance $running (instantiate $code
    (with "memory" (instance $memory))
    (with "logging" (instance (export "log" (func $log))))))
  (type $product' (record (field "quantity" s32)))
  (export $product "product" (type $product'))
  (type $products (list $product))
  (type $passes (list bool))
  (func $process (param "records" $products) (result $passes)
    (canon lift (core func $running "process") (memory (core memory $memory "memory"))
      (realloc (core func $memory "cabi_realloc"))))
  (export "process" (func $process)))
