(component
  (import "acme:tools/oracle@1.0.0" (instance (export "ask" (func (result u64))))))
