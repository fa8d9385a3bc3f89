;; A detector in as little as it takes, with a place at each entry point where something hostile can be put: the lines that
;; begin with `;;@`. Without any of that it behaves: it counts windows, says so in its scores, and keeps the count.
;;
;; The names are those that `wit-component` gives to the functions of `wit/detector.wit`; the layouts follow from the canonical ABI.
;;
;; memory, in bytes from 0:   256 texts   1024 about   1152 opened   1216 verdict   1280 state   1344 the count that is kept
;;                            1536 ids   2048 finding   2304 evidence   4096 scores   65536 what the host puts there
(module
  ;;@imports
  (import "foreshock:detector/host@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "[export]foreshock:detector/detector@0.1.0" "[resource-new]model" (func $new (param i32) (result i32)))
  (import "[export]foreshock:detector/detector@0.1.0" "[resource-drop]model" (func $drop (param i32)))

  (memory (export "memory") 2)
  (table $table 1 funcref)
  (global $heap (mut i32) (i32.const 65536))
  (global $windows (mut i64) (i64.const 0))
  ;; Whether the window that is judged has a value above 1000.
  (global $armed (mut i32) (i32.const 0))
  (global $model (mut i32) (i32.const 0))
  (global $calls (mut i32) (i32.const 0))

  (data (i32.const 256) "guest")
  (data (i32.const 272) "1.0.0")
  (data (i32.const 288) "{}")
  (data (i32.const 304) "spike")
  (data (i32.const 320) "far off")
  (data (i32.const 336) "one\0atwo\0dthree\1b[31mred\00")

  ;;@module

  (func $start
    (local $n i32)
    ;;@start
  )
  (start $start)

  ;; Not a tail call, and nothing that a compiler could turn into a loop.
  (func $descend (param $depth i32) (result i32)
    (i32.add (i32.load (i32.const 0)) (call $descend (i32.add (local.get $depth) (i32.const 1)))))

  (func $again (return_call $again))

  (func $allocate (export "cabi_realloc") (param $old i32) (param $was i32) (param $align i32) (param $bytes i32) (result i32)
    (local $n i32)
    (local $at i32)
    ;;@realloc
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get $at) (local.get $bytes)))
    (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
      (then
        (local.set $n
          (i32.sub (i32.add (i32.shr_u (global.get $heap) (i32.const 16)) (i32.const 1)) (memory.size)))
        (if (i32.eq (memory.grow (local.get $n)) (i32.const -1)) (then unreachable))))
    (local.get $at))

  ;; A finding without anything wrong, as the only one of the verdict.
  (func $finding
    (i32.store (i32.const 1228) (i32.const 2048))
    (i32.store (i32.const 1232) (i32.const 1))
    (memory.fill (i32.const 2048) (i32.const 0) (i32.const 152))
    (i32.store (i32.const 1536) (i32.const 2))
    (i32.store (i32.const 2048) (i32.const 1536))
    (i32.store (i32.const 2052) (i32.const 1))
    (i32.store (i32.const 2056) (i32.const 304))
    (i32.store (i32.const 2060) (i32.const 5))
    (i32.store8 (i32.const 2064) (i32.const 1))
    (f64.store (i32.const 2072) (f64.const 9))
    (i32.store (i32.const 2184) (i32.const 320))
    (i32.store (i32.const 2188) (i32.const 7))
    (i32.store (i32.const 2192) (i32.const 2304))
    ;; A piece of evidence, which counts once the length says so.
    (i32.store (i32.const 2304) (i32.const 304))
    (i32.store (i32.const 2308) (i32.const 5))
    (i32.store (i32.const 2312) (i32.const 320))
    (i32.store (i32.const 2316) (i32.const 7)))

  (func (export "foreshock:detector/detector@0.1.0#describe") (result i32)
    (local $n i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    ;;@describe
    (i32.store (i32.const 1024) (i32.const 256))
    (i32.store (i32.const 1028) (i32.const 5))
    (i32.store (i32.const 1032) (i32.const 272))
    (i32.store (i32.const 1036) (i32.const 5))
    (i32.store (i32.const 1040) (i32.const 288))
    (i32.store (i32.const 1044) (i32.const 2))
    (i32.store (i32.const 1048) (i32.const 1))
    (i32.store (i32.const 1052) (i32.const 0))
    (i32.store (i32.const 1056) (i32.const 0))
    (i32.store (i32.const 1060) (i32.const 0))
    ;;@about
    (i32.const 1024))
  (func (export "cabi_post_foreshock:detector/detector@0.1.0#describe") (param i32)
    (local $n i32)
    ;;@describe-post
  )

  (func (export "foreshock:detector/detector@0.1.0#[static]model.open")
    (param $service i32) (param $service_bytes i32) (param $resource i32) (param $resources i32)
    (param $config i32) (param $config_bytes i32) (param $seed i64) (param $step i64)
    (param $is_saved i32) (param $schema i32) (param $state i32) (param $state_bytes i32) (result i32)
    (local $n i32)
    ;;@open
    (if (local.get $is_saved)
      (then
        ;;@resume
        (global.set $windows (i64.load (local.get $state)))))
    (global.set $model (call $new (i32.const 7)))
    (i32.store8 (i32.const 1152) (i32.const 0))
    (i32.store (i32.const 1156) (global.get $model))
    ;;@opened
    (i32.const 1152))
  (func (export "cabi_post_foreshock:detector/detector@0.1.0#[static]model.open") (param i32)
    (local $n i32)
    ;;@open-post
    (global.set $heap (i32.const 65536)))

  ;; 17 values do not fit into parameters: $window leads to the handle, two times, and seven pairs of place and length.
  (func (export "foreshock:detector/detector@0.1.0#[method]model.observe") (param $window i32) (result i32)
    (local $n i32)
    (local $rows i32)
    ;;@window
    (local.set $rows (i32.load offset=44 (local.get $window)))
    (global.set $windows (i64.add (global.get $windows) (i64.const 1)))
    (global.set $armed (i32.const 0))
    (block $done
      (loop $row
        (br_if $done (i32.ge_u (local.get $n) (local.get $rows)))
        (if (f64.gt
              (f64.load (i32.add (i32.load offset=48 (local.get $window)) (i32.shl (local.get $n) (i32.const 3))))
              (f64.const 1000))
          (then (global.set $armed (i32.const 1))))
        (f64.store offset=4096 (i32.shl (local.get $n) (i32.const 3))
          (f64.convert_i64_u (i64.rem_u (global.get $windows) (i64.const 16))))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br $row)))
    (i32.store8 (i32.const 1216) (i32.const 0))
    (i32.store (i32.const 1220) (i32.const 4096))
    (i32.store (i32.const 1224) (local.get $rows))
    (i32.store (i32.const 1228) (i32.const 2048))
    (i32.store (i32.const 1232) (i32.const 0))
    (local.set $n (i32.const 0))
    (if (global.get $armed)
      (then
        ;;@observe
      ))
    (i32.const 1216))
  (func (export "cabi_post_foreshock:detector/detector@0.1.0#[method]model.observe") (param i32)
    (local $n i32)
    (if (global.get $armed)
      (then
        ;;@observe-post
      ))
    (global.set $heap (i32.const 65536)))

  (func (export "foreshock:detector/detector@0.1.0#[method]model.snapshot") (param $self i32) (result i32)
    (local $n i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    ;;@snapshot
    (i64.store (i32.const 1344) (global.get $windows))
    (i32.store8 (i32.const 1280) (i32.const 0))
    (i32.store (i32.const 1284) (i32.const 1))
    (i32.store (i32.const 1288) (i32.const 1344))
    (i32.store (i32.const 1292) (i32.const 8))
    ;;@state
    (i32.const 1280))
  (func (export "cabi_post_foreshock:detector/detector@0.1.0#[method]model.snapshot") (param i32)
    (local $n i32)
    ;;@snapshot-post
  )

  (func (export "foreshock:detector/detector@0.1.0#[dtor]model") (param $self i32)
    (local $n i32)
    ;;@drop
  )
)
