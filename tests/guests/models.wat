;; What `open` answers, put into `detector.wat` at `;;@opened`. See `verdicts.wat` for the form.

;;; model out of bounds: bad_verdict
(return (i32.const -4))

;;; model at an odd place: bad_verdict
(return (i32.const 1153))

;;; neither model nor fault: bad_verdict
(i32.store8 (i32.const 1152) (i32.const 7))

;;; handle 0: bad_verdict
(i32.store (i32.const 1156) (i32.const 0))

;;; handle that is none: bad_verdict
(i32.store (i32.const 1156) (i32.const 1234))

;;; handle -1: bad_verdict
(i32.store (i32.const 1156) (i32.const -1))

;;; handle that was dropped: bad_verdict
(call $drop (global.get $model))

;;; configuration refused: refused
(i32.store8 (i32.const 1152) (i32.const 1)) (i32.store8 (i32.const 1156) (i32.const 0))
(i32.store (i32.const 1160) (i32.const 336)) (i32.store (i32.const 1164) (i32.const 22))

;;; no state is refused: bad_state
(i32.store8 (i32.const 1152) (i32.const 1)) (i32.store8 (i32.const 1156) (i32.const 1))
(i32.store (i32.const 1160) (i32.const 336)) (i32.store (i32.const 1164) (i32.const 22))
