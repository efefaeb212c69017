// Which sanitizer the program is built with, at most one.
#ifndef CCSP_SANITIZER_H
#define CCSP_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CSP_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define CSP_ASAN 1
#endif
#endif

#endif
