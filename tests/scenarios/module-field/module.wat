;; Reads the price as text, which the schema has as a double.
(component
  (core module $code
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "process") (param i32 i32) (result i32) (i32.const 0)))
  (core instance $running (instantiate $code))
  (type $product' (record (field "price" string)))
  (export $product "product" (type $product'))
  (type $products (list $product))
  (type $kept (list bool))
  (func $process (param "records" $products) (result $kept)
    (canon lift (core func $running "process") (memory (core memory $running "memory"))
      (realloc (core func $running "cabi_realloc"))))
  (export "process" (func $process)))
