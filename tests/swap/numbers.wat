;; Numbers the records of a partition: each answer has the version of the module and how many records were answered before it
;; and with it, by the state. Code may reject a record instead, with the text at 96. Made into modules by swap.rs, which puts a number in the place of VERSION and code in the places
;; of PER_RECORD, ON_SNAPSHOT and ON_RESTORE.
(component
  (core module $code
    (memory (export "memory") 64)
    (data (i32.const 96) "no")
    (global $free (mut i32) (i32.const 65536))
    ;; How many records there were: the state.
    (global $count (mut i64) (i64.const 0))
    ;; How many calls of this instance.
    (global $calls (mut i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $bytes i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $free))
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get $bytes)) (i32.const 7)) (i32.const -8)))
      (local.get $at))
    (func (export "process") (param $records i32) (param $len i32) (result i32)
      (local $i i32)
      (local $answer i32)
      (local $number i64)
      (global.set $free (i32.const 65536))
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (block $end
        (loop $next
          (br_if $end (i32.ge_u (local.get $i) (local.get $len)))
          (local.set $number (i64.load (i32.add (local.get $records) (i32.mul (local.get $i) (i32.const 8)))))
          (global.set $count (i64.add (global.get $count) (i64.const 1)))
          (local.set $answer (i32.add (i32.const 2097152) (i32.mul (local.get $i) (i32.const 24))))
          (i32.store8 (local.get $answer) (i32.const 0))
          (i32.store offset=8 (local.get $answer) (i32.const VERSION))
          (i64.store offset=16 (local.get $answer) (global.get $count))
          PER_RECORD
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next)))
      (i32.store (i32.const 16) (i32.const 2097152))
      (i32.store (i32.const 20) (local.get $len))
      (i32.const 16))
    ;; The format, 7, and the count.
    (func (export "snapshot") (result i32)
      (i32.store (i32.const 3145728) (i32.const 7))
      (i64.store (i32.const 3145736) (global.get $count))
      ON_SNAPSHOT
      (i32.store (i32.const 32) (i32.const 3145728))
      (i32.store (i32.const 36) (i32.const 16))
      (i32.const 32))
    (func (export "restore") (param $state i32) (param $len i32) (result i32)
      (global.set $free (i32.const 65536))
      (i64.store (i32.const 48) (i64.const 0))
      (i64.store (i32.const 56) (i64.const 0))
      (global.set $count (i64.load offset=8 (local.get $state)))
      ;; An err has a text of three bytes.
      (i32.store (i32.const 80) (i32.const 0x646c6f))
      (if (i32.ne (i32.load (local.get $state)) (i32.const 7))
        (then
          (i32.store (i32.const 48) (i32.const 1))
          (i32.store (i32.const 52) (i32.const 80))
          (i32.store (i32.const 56) (i32.const 3))))
      ON_RESTORE
      (i32.const 48)))
  (core instance $running (instantiate $code))
  (type $record' (record (field "FIELD" s64)))
  (export $record "entry" (type $record'))
  (type $numbered' (record (field "version" TYPE) (field "count" s64)))
  (export $numbered "numbered" (type $numbered'))
  (func $process (param "records" (list $record)) (result (list (result $numbered (error string))))
    (canon lift (core func $running "process") (memory (core memory $running "memory"))
      (realloc (core func $running "cabi_realloc"))))
  (export "process" (func $process))
  (func $snapshot (result (list u8))
    (canon lift (core func $running "snapshot") (memory (core memory $running "memory"))))
  (export "snapshot" (func $snapshot))
  (func $restore (param "state" (list u8)) (result (result (error string)))
    (canon lift (core func $running "restore") (memory (core memory $running "memory"))
      (realloc (core func $running "cabi_realloc"))))
  (export "restore" (func $restore)))
