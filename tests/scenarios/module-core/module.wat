(module
  (func (export "process")))
