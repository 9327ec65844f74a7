(component
  (core module $code (func (export "run")))
  (core instance $running (instantiate $code))
  (func (export "run") (canon lift (core func $running "run"))))
