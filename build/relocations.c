/* Whether this glibc starts a static program whose relocations are packed: from 2.36 on. Only read
 * by build.rs, never compiled.
 */
#include <features.h>

#if __GLIBC_PREREQ(2, 36)
relocations may be packed
#endif
