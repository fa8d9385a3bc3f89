;; What `describe` answers, put into `detector.wat` at `;;@about`. See `verdicts.wat` for the form; `bad about` is refused when it
;; is looked at, the others while it is read.

;;; description out of bounds: bad_verdict
(return (i32.const -4))

;;; description at an odd place: bad_verdict
(return (i32.const 1025))

;;; name out of bounds: bad_verdict
(i32.store (i32.const 1024) (i32.const -4))

;;; name that is no UTF-8: bad_verdict
(i32.store8 (i32.const 256) (i32.const 128))

;;; no name: bad about
(i32.store (i32.const 1028) (i32.const 0))

;;; name with a space: bad about
(i32.store8 (i32.const 256) (i32.const 32))

;;; name of 65 characters: bad about
(memory.fill (i32.const 8192) (i32.const 97) (i32.const 65)) (i32.store (i32.const 1024) (i32.const 8192))
(i32.store (i32.const 1028) (i32.const 65))

;;; name of 5 MiB: bad_verdict
(drop (memory.grow (i32.const 80))) (i32.store (i32.const 1028) (i32.const 5242880))

;;; version that is none: bad about
(i32.store8 (i32.const 273) (i32.const 32))

;;; schema that is no JSON: bad about
(i32.store8 (i32.const 288) (i32.const 44))

;;; schema of more than 64 KiB: bad about
(drop (memory.grow (i32.const 1)))
(memory.fill (i32.const 65536) (i32.const 32) (i32.const 65537)) (i32.store8 (i32.const 65536) (i32.const 123))
(i32.store8 (i32.const 131072) (i32.const 125)) (i32.store (i32.const 1040) (i32.const 65536))
(i32.store (i32.const 1044) (i32.const 65537))

;;; schema of 20,000 brackets: bad about
(memory.fill (i32.const 65536) (i32.const 91) (i32.const 20000)) (i32.store (i32.const 1040) (i32.const 65536))
(i32.store (i32.const 1044) (i32.const 20000))

;;; kinds that are none: bad_verdict
(i32.store (i32.const 1056) (i32.const 256)) (i32.store (i32.const 1060) (i32.const 2))
