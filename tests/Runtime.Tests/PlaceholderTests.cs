namespace KataLike.Runtime.Tests;
